// The parts as they are connected, each with its state; requests and tasks move along the lines. `#system/PART` opens one.
import { api, dialog, field, follow, h, keepAddress, loading, problem, s, say, table } from "./base.js";
import { drawMap, place, stateWord } from "./map.js";
import { recordingPanel } from "./recordings.js";
import { t } from "./words.js";

const KINDS = ["cut", "hang", "latency", "throttle", "reset", "swallow"];
// What each kind is told beside its name, as an example that also serves where nothing is written.
const AMOUNTS = { latency: "300ms±100", throttle: "50KB/s", reset: "5%", swallow: "5%" };
const UP = ["ready", "existing"];

export function show(main, wanted) {
  const troubles = h("div"), stage = h("div", { class: "panel map-panel" }, loading()), cards = h("div", { class: "cards panel" }), faults = h("div", { class: "panel" }), list = h("div", { "data-words": true, class: "panel" });
  main.append(troubles, stage);
  let stopped = false, map = null, timer = 0, latest = null;
  const still = matchMedia("(prefers-reduced-motion: reduce)");
  const watching = new ResizeObserver(() => { if (latest) draw(); });

  function draw() {
    const width = Math.floor(stage.clientWidth) - 32;
    if (width < 200) return; // not on the screen
    const shape = JSON.stringify([latest.parts.map((part) => part.name), latest.links, width]);
    if (map?.shape !== shape) {
      map = drawMap(shape, place(latest, width), (name) => openPart(name, latest, refresh), still);
      stage.replaceChildren(map.element, h("p", { class: "muted small legend" }, t("map_legend")));
    }
    map.update(latest);
  }
  function fill() {
    const total = latest.parts.reduce((sum, part) => sum + (part.memory ?? 0), 0);
    const up = latest.parts.filter((part) => UP.includes(part.state)).length;
    cards.replaceChildren(card(`${up} / ${latest.parts.length}`, t("ready")), card(`${Math.round(total)} MiB`, t("memory")),
      card(`${latest.clock.ahead} s`, t("clock")), card(latest.parts.reduce((sum, part) => sum + (part.restarts ?? 0), 0), t("restarts")));
    troubles.replaceChildren(...latest.troubles.map((line) => h("p", { class: "notice" }, line)));
    keeping(faults, () => faultPanel(latest, refresh));
    keeping(list, () => [h("h2", {}, t("parts")), table([t("part"), t("state"), t("memory"), t("restarts"), t("version"), t("address")], latest.parts, (part) => h("tr", {},
      h("td", { class: "keep" }, h("button", { type: "button", "data-item": true, id: `part-${part.name}`, onclick: () => openPart(part.name, latest, refresh) }, part.name)),
      h("td", {}, badge(part.state), part.error ? h("div", { class: "small bad" }, part.error) : null), h("td", { class: "mono keep" }, part.memory ? `${Math.round(part.memory)} MiB` : "–"),
      h("td", { class: "mono" }, part.restarts), h("td", { class: "small keep" }, versionOf(part.name, latest.versions)), h("td", { class: "mono small keep" }, part.address)))]);
  }
  async function refresh() {
    clearTimeout(timer);
    try {
      const system = await api("/system");
      if (stopped) return;
      if (!latest) { main.append(cards, faults, recordingPanel(), list); watching.observe(stage); }
      const first = !latest;
      latest = system;
      draw();
      fill();
      if (first && latest.parts.some((part) => part.name === wanted)) openPart(wanted, latest, refresh);
    } catch (error) {
      if (!stopped && !latest) stage.replaceChildren(problem(error, refresh));
      else if (!stopped) troubles.replaceChildren(problem(error));
    }
    clearTimeout(timer);
    if (!stopped) timer = setTimeout(refresh, 3000);
  }
  refresh();
  const end = follow((span) => map?.pulse(span));
  return () => { stopped = true; clearTimeout(timer); watching.disconnect(); end(); };
}

// Newly made content; what had the focus or was being written keeps it.
function keeping(box, make) {
  const focused = box.contains(document.activeElement) ? document.activeElement : null;
  if (focused && ["INPUT", "SELECT", "TEXTAREA"].includes(focused.tagName)) return;
  const scrolled = box.querySelector(".scroll")?.scrollLeft ?? 0;
  box.replaceChildren(...make());
  if (box.querySelector(".scroll")) box.querySelector(".scroll").scrollLeft = scrolled;
  if (focused?.id) document.getElementById(focused.id)?.focus({ preventScroll: true });
}

const card = (value, label) => h("div", { class: "card" }, h("b", {}, value), h("span", {}, label));
const badge = (state) => h("span", { class: `badge ${UP.includes(state) ? "good" : state === "failed" ? "bad" : "warn"}` }, stateWord(state));

export function versionOf(name, versions) {
  const used = { postgres: ["postgres"], "redis-broker": ["redis"], "redis-cache": ["redis"], s3: ["s3"], dashboard: ["litestar"] }[name]
    ?? (name.startsWith("api-") ? ["litestar"] : /^(worker|syncer)-/.test(name) ? ["sqlite"] : []);
  const python = ["postgres", "redis-broker", "redis-cache"].includes(name) ? [] : ["python"];
  const title = { postgres: "PostgreSQL", redis: "", s3: "moto", litestar: "Litestar", sqlite: "SQLite", python: "Python" };
  return [...used, ...python].filter((one) => versions[one]).map((one) => `${title[one]} ${versions[one]}`.trim()).join(", ");
}

function faultPanel(now, refresh) {
  const minutes = h("input", { type: "number", min: "1", max: "525600", value: "5", id: "minutes", class: "short" });
  const said = h("div", { "aria-live": "polite" });
  const attempt = async (work) => { try { await work(); refresh(); } catch (error) { said.replaceChildren(problem(error)); } };
  const move = () => attempt(async () => { await api("/clock", { json: { seconds: Number(minutes.value) * 60 } }); say(`${t("advance")}: ${minutes.value} ${t("minutes")}`); });
  const clear = (id) => attempt(async () => { await api(id ? `/faults?id=${id}` : "/faults", { method: "DELETE" }); say(id ? `${t("clear_fault")}: ${id}` : t("no_faults")); });
  const ending = (line) => { const id = line.split(":")[0]; return h("button", { type: "button", class: "right", id: `clear-${id}`, "aria-label": `${t("clear_fault")}: ${line}`, onclick: () => clear(id) }, t("clear_fault")); };
  return [
    h("h2", {}, t("faults")),
    now.faults.length ? h("ul", { class: "plain", id: "faults" }, now.faults.map((line) => h("li", { class: "mono notice bad" }, ending(line), line))) : h("p", { class: "muted" }, t("no_faults")),
    h("div", { class: "row" },
      h("button", { type: "button", id: "add-fault", onclick: () => openFault(now, refresh) }, t("add_fault")),
      h("button", { type: "button", id: "clear-faults", disabled: !now.faults.length, onclick: () => clear() }, t("clear_faults")),
      h("form", { class: "right row", onsubmit: (event) => { event.preventDefault(); minutes.blur(); move(); } },
        h("label", { class: "inline", for: "minutes" }, t("advance_by")), minutes, h("span", {}, t("minutes")), h("button", { id: "advance" }, t("advance")))),
    said,
  ];
}

function openFault(now, refresh, part = null) {
  const targets = [...new Set(now.links.map(([, to]) => to))].filter((name) => !name.startsWith("syncer"));
  const sources = [...new Set(now.links.map(([from]) => from))].filter((name) => name !== "gateway");
  const option = (chosen) => (name) => h("option", { value: name, selected: name === chosen || null }, name || "–");
  const isTarget = targets.includes(part) && !part.startsWith("api-");
  const target = h("select", { name: "target" }, targets.map(option(isTarget ? part : "postgres")));
  const kind = h("select", { name: "kind" }, KINDS.map((name) => h("option", { value: name }, `${name} – ${t(`fault_${name}`)}`)));
  const amount = h("input", { name: "amount", autocomplete: "off", placeholder: "300ms±100" });
  const seconds = h("input", { name: "seconds", type: "number", min: "1", value: "60" });
  const service = h("select", { name: "service" }, ["", ...sources].map(option(isTarget ? "" : part)));
  const said = h("div", { "aria-live": "polite" }), how = field(t("amount"), amount);
  const needed = () => { amount.placeholder = AMOUNTS[kind.value] ?? ""; how.hidden = !amount.placeholder; };
  kind.addEventListener("change", needed);
  needed();
  const form = h("form", { id: "fault", onsubmit: async (event) => {
    event.preventDefault();
    try {
      await api("/faults", { json: { target: target.value, kind: kind.value, amount: how.hidden ? "" : amount.value || amount.placeholder, seconds: Number(seconds.value) || null, service: service.value || null } });
      box.close();
      refresh();
    } catch (error) { said.replaceChildren(problem(error)); }
  } }, field(t("target"), target), field(t("kind"), kind), how, field(t("seconds"), seconds), field(t("from_part"), service), said,
    h("button", { class: "primary" }, t("add_fault")));
  const box = dialog(t("add_fault"), form);
}

function openPart(name, now, refresh) {
  const part = now.parts.find((one) => one.name === name);
  const log = h("pre", { class: "log", tabindex: "0", role: "region", "aria-label": t("log") }, t("loading"));
  const said = h("div", { "aria-live": "polite" }), facts = h("dl", { class: "facts" });
  const fact = (label, value) => (value === "" || value === null || value === undefined ? null : h("div", {}, h("dt", {}, label), h("dd", {}, value)));
  const tell = (one, all) => facts.replaceChildren(...[fact(t("state"), badge(one.state)), fact(t("pid"), one.pid), fact(t("memory"), one.memory ? `${one.memory} MiB` : ""), fact(t("restarts"), one.restarts),
    fact(t("version"), versionOf(name, all.versions)), fact(t("address"), one.address), fact(t("error"), one.error)].filter(Boolean));
  tell(part, now);
  const act = (action, label, danger) => h("button", { type: "button", class: danger ? "danger" : null, onclick: async (event) => {
    const button = event.target;
    button.disabled = true;
    try {
      await api(`/parts/${name.replace("/", ".")}/${action}`, { method: "POST" });
      said.replaceChildren(h("p", { class: "good" }, `${label}: ✓`));
      const after = await api("/system");
      tell(after.parts.find((one) => one.name === name), after);
    } catch (error) { said.replaceChildren(problem(error)); }
    button.disabled = false;
    button.focus();
    refresh();
    read();
  } }, label);
  const box = dialog(name, facts,
    part.state === "existing" ? null : h("p", { class: "row" }, act("restart", t("restart")), act("pause", t("pause")), act("resume", t("resume")), act("kill", t("kill"), true),
      h("button", { type: "button", onclick: () => { box.close(); openFault(now, refresh, name); } }, t("add_fault"))),
    said, h("h3", {}, t("log"), " ", h("a", { class: "small", href: `#logs?part=${encodeURIComponent(name)}`, onclick: () => box.close() }, t("its_logs"))), log);
  keepAddress("system", name);
  box.addEventListener("close", () => { if (location.hash.startsWith("#system/")) keepAddress("system"); });
  async function read() {
    try { log.textContent = (await api(`/logs?part=${encodeURIComponent(name)}&limit=200`)).lines.flatMap((line) => [`${line.time.slice(11)} ${line.level} ${line.text}`, ...line.more]).join("\n") || "–"; log.scrollTop = log.scrollHeight; } catch (error) { log.textContent = error.message; }
  }
  read();
}
