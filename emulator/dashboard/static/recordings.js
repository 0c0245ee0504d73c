// The panel that begins and ends a recording, and says how one is replayed.
import { api, h, problem, say, table } from "./base.js";
import { t } from "./words.js";

const SHOWN = 5;
// 20261129-101500, in this browser's time.
const moment = () => new Date(Date.now() - new Date().getTimezoneOffset() * 60000).toISOString().slice(0, 19).replace(/[-:]/g, "").replace("T", "-");

export function recordingPanel() {
  const panel = h("div", { class: "panel" });
  const said = h("div", { "aria-live": "polite" });
  let found = [];
  async function attempt(work) {
    const button = panel.querySelector("button");
    button.disabled = true;
    said.replaceChildren();
    try { say((await work()).said); } catch (error) { said.replaceChildren(problem(error)); }
    await refresh();
    panel.querySelector("button").focus();
  }
  const begin = () => attempt(() => api("/recordings", { json: { name: moment() } }));
  const end = () => attempt(() => api("/recordings", { method: "DELETE" }));
  function fill() {
    const open = found.find((one) => one.ended === "open");
    panel.replaceChildren(
      h("h2", {}, t("recordings")),
      h("p", { class: "muted" }, t(open ? "recording_now" : "recordings_lead")),
      h("p", { class: "row" }, h("button", { type: "button", id: "record", class: open ? "danger" : null, onclick: open ? end : begin }, t(open ? "record_off" : "record_on"))),
      said,
      found.length ? table([t("recording"), t("requests"), t("replay_it")], found.slice(0, SHOWN), (one) => h("tr", {},
        h("td", { class: "mono keep" }, one.name), h("td", { class: "mono" }, one.requests ?? "–"), h("td", {}, one.ended === "open" || one.damaged ? "–" : h("code", {}, `eco2 replay ${one.name}`)))) : "");
  }
  async function refresh() {
    try { found = await api("/recordings"); } catch (error) { said.replaceChildren(problem(error)); }
    fill();
  }
  refresh();
  return panel;
}
