// What all parts say, merged by time. `#logs?q=…&part=…&level=…` keeps the filters.
import { api, field, h, keepAddress, loading, problem, say } from "./base.js";
import { t } from "./words.js";

const WITHIN = { 600: "minutes_10", 3600: "hour", 86400: "day", 0: "always" };

export function show(main, chosen, { q = "", part = "", level = "info", seconds = "3600" }) {
  const option = (now) => (value, text) => h("option", { value, selected: String(value) === now || null }, text);
  const parts = h("select", { name: "part" }, option(part)("", t("all_parts")), part ? option(part)(part, part) : null);
  const least = h("select", { name: "level" }, ["debug", "info", "warning", "error"].map((one) => option(level)(one, t(`level_${one}`))));
  const within = h("select", { name: "seconds" }, [600, 3600, 86400, 0].map((one) => option(seconds)(one, t(WITHIN[one]))));
  const words = h("input", { type: "search", id: "filter", value: q, autocomplete: "off" }), follow = h("input", { type: "checkbox", name: "follow", checked: true });
  const list = h("div", { class: "lines", tabindex: "0", role: "region", "aria-label": t("logs") }, loading()), count = h("p", { class: "small muted right" });
  main.append(h("div", { class: "panel" }, h("div", { class: "row end" }, field(t("part"), parts), field(t("level"), least), field(t("within"), within), h("div", { class: "grow" }, field(t("search"), words)),
    h("label", { class: "inline" }, follow, t("follow"))), h("div", { class: "above" }, list), count));
  let stopped = false, timer = 0, turn = 0, last = "";
  async function refresh() {
    clearTimeout(timer);
    const now = ++turn;
    try {
      const found = await api(`/logs?${new URLSearchParams({ part: parts.value, level: least.value, seconds: within.value, q: words.value.trim(), limit: 500 })}`);
      if (stopped || now !== turn) return;
      if (parts.options.length !== found.parts.length + 1) parts.replaceChildren(option(parts.value)("", t("all_parts")), ...found.parts.map((name) => option(parts.value)(name, name)));
      // What is being read or chosen stays as it is until there is something new.
      const newest = JSON.stringify([found.lines.length, found.lines[0]?.at, found.lines.at(-1)]);
      if (newest !== last) {
        last = newest;
        const focused = list.contains(document.activeElement) ? document.activeElement.closest("li")?.dataset.key : null;
        const atEnd = list.scrollHeight - list.scrollTop - list.clientHeight < 40;
        list.replaceChildren(found.lines.length ? h("ol", {}, found.lines.map(line)) : h("p", { class: "empty" }, t("no_lines")));
        if (atEnd || !focused) list.scrollTop = list.scrollHeight;
        if (focused) [...list.querySelectorAll("li")].find((one) => one.dataset.key === focused)?.querySelector("a")?.focus({ preventScroll: true });
        count.textContent = `${found.lines.length} ${t("lines")}`;
      }
    } catch (error) { last = ""; if (!stopped && now === turn) list.replaceChildren(problem(error, refresh)); }
    if (!stopped && now === turn && follow.checked) timer = setTimeout(refresh, document.hidden ? 5000 : 1500);
  }
  for (const one of [parts, least, within, words]) one.addEventListener("input", () => {
    keepAddress("logs", "", { q: words.value.trim(), part: parts.value, level: least.value === "info" ? "" : least.value, seconds: within.value === "3600" ? "" : within.value });
    refresh();
  });
  follow.addEventListener("input", () => { say(t("follow")); if (follow.checked) refresh(); else clearTimeout(timer); });
  refresh();
  return () => { stopped = true; clearTimeout(timer); };
}

function line(one) {
  const more = one.more.length ? `\n${one.more.join("\n")}` : "";
  const id = one.trace || one.request;
  return h("li", { class: one.level, "data-key": `${one.at} ${one.part}` }, h("span", { class: "muted", title: one.time }, one.time.slice(11)), h("span", { class: "part", title: one.part }, one.part), h("span", { class: "level" }, t(`level_${one.level}`)),
    h("span", { class: "text" }, `${one.text}${more}`), id ? h("a", { href: `#requests/${id}`, "data-item": true }, t("its_request_short")) : null);
}
