// The parts as they are connected, each with its state; requests and tasks move along the lines.
import { api, dialog, field, follow, h, loading, problem, s, say } from "./base.js";
import { t } from "./words.js";

// Columns from the person's side to the stores. Narrow screens get the same drawing, scaled; the list below it has it all.
const COLUMNS = [["gateway"], /^api-/, ["redis-broker", "redis-cache", "s3", "proxy"], /^worker-/, /^syncer-/, ["postgres", "dashboard"]];
const WIDTH = 168, HEIGHT = 50, GAP_X = 46, GAP_Y = 18;
const KINDS = ["cut", "hang", "latency", "throttle", "reset", "swallow"];

export function show(main) {
  const stage = h("div", {}, loading());
  main.append(stage);
  let stopped = false, drawing = null, timer = 0;
  async function refresh() {
    try {
      const system = await api("/system");
      if (stopped) return;
      drawing = draw(stage, system, drawing, refresh);
    } catch (error) {
      if (!stopped && !drawing) stage.replaceChildren(problem(error, refresh));
    }
    clearTimeout(timer);
    if (!stopped) timer = setTimeout(refresh, 3000);
  }
  refresh();
  const end = follow((span) => drawing?.pulse(span));
  return () => { stopped = true; clearTimeout(timer); end(); };
}

function draw(stage, system, before, refresh) {
  const shape = JSON.stringify([system.parts.map((part) => part.name), system.links]);
  const drawing = before?.shape === shape ? before : begin(stage, system, shape);
  drawing.update(system, refresh);
  return drawing;
}

function begin(stage, system, shape) {
  const places = new Map();
  const columns = COLUMNS.map((rule) => system.parts.filter((part) => (Array.isArray(rule) ? rule.includes(part.name) : rule.test(part.name))));
  const tallest = Math.max(...columns.map((column) => column.length));
  const height = tallest * (HEIGHT + GAP_Y) + 10, width = columns.length * (WIDTH + GAP_X) - GAP_X + 12;
  columns.forEach((column, x) => column.forEach((part, y) => {
    const top = (height - column.length * (HEIGHT + GAP_Y) + GAP_Y) / 2;
    places.set(part.name, { x: 6 + x * (WIDTH + GAP_X), y: top + y * (HEIGHT + GAP_Y), column: x });
  }));
  const wires = new Map(), boxes = new Map();
  const lines = s("g"), pulses = s("g"), parts = s("g");
  for (const [from, to] of system.links) {
    const a = places.get(from), b = places.get(to);
    if (!a || !b) continue;
    const forward = b.x >= a.x;
    const [x1, x2] = a.column === b.column ? [a.x, b.x] : forward ? [a.x + WIDTH, b.x] : [a.x, b.x + WIDTH];
    const bend = a.column === b.column ? -30 : (x2 - x1) / 2;
    const y1 = a.y + HEIGHT / 2, y2 = b.y + HEIGHT / 2;
    const wire = s("path", { class: "wire", d: `M${x1} ${y1} C${x1 + bend} ${y1} ${x2 - (a.column === b.column ? 30 : bend)} ${y2} ${x2} ${y2}` });
    wires.set(`${from}>${to}`, wire);
    lines.append(wire);
  }
  for (const [name, place] of places) {
    const lamp = s("circle", { class: "lamp", cx: 16, cy: 18, r: 5 });
    const sub = s("text", { class: "sub", x: 12, y: 39 });
    const box = s("g", { class: "part", transform: `translate(${place.x} ${place.y})`, tabindex: "0", role: "button" },
      s("rect", { width: WIDTH, height: HEIGHT }), lamp, s("text", { x: 28, y: 23 }, name), sub);
    boxes.set(name, { box, lamp, sub });
    parts.append(box);
  }
  const map = s("svg", { class: "map", viewBox: `0 0 ${width} ${height}`, role: "group", "aria-label": t("map") }, lines, pulses, parts);
  const cards = h("div", { class: "cards" }), troubles = h("div"), faults = h("div", { class: "panel" }), list = h("div", { class: "panel" });
  stage.replaceChildren(troubles, h("div", { class: "panel scroll" }, map), h("div", { class: "panel" }, cards), faults, list);
  const still = matchMedia("(prefers-reduced-motion: reduce)").matches;

  function travel(key) {
    const wire = wires.get(key);
    if (!wire) return;
    wire.classList.add("hot");
    setTimeout(() => wire.classList.remove("hot"), 900);
    if (still || pulses.childElementCount > 40) return;
    const dot = s("circle", { class: "pulse", r: 4 }), length = wire.getTotalLength(), start = performance.now();
    pulses.append(dot);
    (function step(now) {
      const part = Math.min((now - start) / 700, 1), point = wire.getPointAtLength(length * part);
      dot.setAttribute("cx", point.x); dot.setAttribute("cy", point.y);
      if (part < 1) requestAnimationFrame(step); else dot.remove();
    })(start);
  }

  return {
    shape,
    pulse(span) {
      const service = system.parts.find((part) => part.name === `api-${span.service.replaceAll("_", "-")}` || part.name === `worker-${span.service}`)?.name
        ?? system.parts.find((part) => part.name === { chat_llm: "api-chat-llm", userinfo: "api-userinfo" }[span.service])?.name;
      if (!service) return;
      if (span.kind === "server") travel(`gateway>${service}`);
      else if (span.kind === "sql") travel(`${service}>postgres`);
      else if (["publish", "task", "result", "enqueue"].includes(span.kind)) travel(`${service}>redis-broker`);
      else if (span.kind === "s3") travel(`${service}>s3`);
      else if (span.kind === "journal") travel(`${service}>syncer-${span.service}`);
    },
    update(now, refresh) {
      for (const part of now.parts) {
        const found = boxes.get(part.name);
        if (!found) continue;
        const memory = part.memory ? `${Math.round(part.memory)} MiB` : "";
        found.lamp.setAttribute("class", `lamp ${part.state}`);
        found.sub.textContent = [part.state, memory, part.restarts ? `↻ ${part.restarts}` : ""].filter(Boolean).join(" · ");
        found.box.setAttribute("aria-label", `${part.name}: ${part.state} ${memory}`);
        found.box.onclick = () => openPart(part, now, refresh);
        found.box.onkeydown = (event) => { if (event.key === "Enter" || event.key === " ") { event.preventDefault(); openPart(part, now, refresh); } };
      }
      for (const [key, wire] of wires) {
        const [from, to] = key.split(">");
        const hit = now.faults.some((line) => (line.includes(to) || line.includes("*")) && (!/ from /.test(line) || line.includes(from)));
        wire.classList.toggle("broken", hit);
      }
      const total = now.parts.reduce((sum, part) => sum + (part.memory ?? 0), 0);
      const up = now.parts.filter((part) => ["ready", "existing"].includes(part.state)).length;
      cards.replaceChildren(card(`${up} / ${now.parts.length}`, t("ready")), card(`${Math.round(total)} MiB`, t("memory")),
        card(`${now.clock.ahead} s`, t("clock")), card(now.parts.reduce((sum, part) => sum + (part.restarts ?? 0), 0), t("restarts")),
        ...Object.entries(now.versions).map(([name, version]) => card(version, name)));
      troubles.replaceChildren(...now.troubles.map((line) => h("p", { class: "notice" }, line)));
      if (!faults.contains(document.activeElement)) faults.replaceChildren(...faultPanel(now, refresh));
      list.replaceChildren(h("h2", {}, t("parts")), h("ul", { class: "list" }, now.parts.map((part) => h("li", {},
        h("button", { type: "button", onclick: () => openPart(part, now, refresh) }, h("strong", {}, part.name), " ",
          h("span", { class: `badge ${part.state === "ready" || part.state === "existing" ? "good" : "warn"}` }, part.state), " ",
          h("span", { class: "muted small" }, part.address, part.error ? ` ${part.error}` : ""))))));
    },
  };
}

const card = (value, label) => h("div", { class: "card" }, h("b", {}, value), h("span", {}, label));

function faultPanel(now, refresh) {
  const minutes = h("input", { type: "number", min: "1", max: "525600", value: "5", id: "minutes" });
  const move = async () => { await api("/clock", { json: { seconds: Number(minutes.value) * 60 } }); say(t("advance")); refresh(); };
  return [
    h("h2", {}, t("faults")),
    now.faults.length ? h("ul", { class: "list", id: "faults" }, now.faults.map((line) => h("li", { class: "mono" }, line))) : h("p", { class: "muted" }, t("no_faults")),
    h("div", { class: "row" },
      h("button", { type: "button", id: "add-fault", onclick: () => openFault(now, refresh) }, t("add_fault")),
      h("button", { type: "button", id: "clear-faults", disabled: !now.faults.length, onclick: async (event) => { event.target.blur(); await api("/faults", { method: "DELETE" }); refresh(); } }, t("clear_faults")),
      h("span", { class: "right row" }, h("label", { class: "inline", for: "minutes" }, t("minutes")), minutes,
        h("button", { type: "button", onclick: (event) => { event.target.blur(); move(); } }, t("advance")))),
  ];
}

function openFault(now, refresh) {
  const targets = [...new Set(now.links.map(([, to]) => to))].filter((name) => !name.startsWith("syncer"));
  const target = h("select", { name: "target" }, targets.map((name) => h("option", {}, name)));
  const kind = h("select", { name: "kind" }, KINDS.map((name) => h("option", {}, name)));
  const amount = h("input", { name: "amount", autocomplete: "off" });
  const seconds = h("input", { name: "seconds", type: "number", min: "1", value: "60" });
  const service = h("input", { name: "service", placeholder: "api-waste", autocomplete: "off" });
  const said = h("div");
  const form = h("form", { onsubmit: async (event) => {
    event.preventDefault();
    try {
      await api("/faults", { json: { target: target.value, kind: kind.value, amount: amount.value, seconds: Number(seconds.value) || null, service: service.value || null } });
      box.close();
      refresh();
    } catch (error) { said.replaceChildren(problem(error)); }
  } }, field(t("target"), target), field(t("kind"), kind), field(t("amount"), amount), field(t("seconds"), seconds), field(t("from_part"), service), said,
    h("button", { class: "primary" }, t("add_fault")));
  const box = dialog(t("add_fault"), form);
}

async function openPart(part, now, refresh) {
  const log = h("pre", { class: "log", tabindex: "0", "aria-label": t("log") }, t("loading"));
  const said = h("div");
  const act = (action, label, danger) => h("button", { type: "button", class: danger ? "danger" : null, onclick: async (event) => {
    event.target.disabled = true;
    try { await api(`/parts/${part.name}/${action}`, { method: "POST" }); said.replaceChildren(); say(`${part.name}: ${label}`); } catch (error) { said.replaceChildren(problem(error)); }
    event.target.disabled = false;
    refresh();
    read();
  } }, label);
  const facts = [[t("state"), part.state], [t("pid"), part.pid], [t("address"), part.address], [t("memory"), part.memory ? `${part.memory} MiB` : ""], [t("restarts"), part.restarts]];
  dialog(part.name,
    h("div", { class: "cards" }, facts.filter(([, value]) => value !== "" && value !== null && value !== undefined).map(([label, value]) => card(value, label))),
    part.error ? h("p", { class: "notice bad" }, part.error) : null,
    part.state === "existing" ? null : h("p", { class: "row" }, act("restart", t("restart")), act("pause", t("pause")), act("resume", t("resume")), act("kill", t("kill"), true)),
    said, h("h3", {}, t("log")), log);
  async function read() {
    try { log.textContent = (await api(`/logs/${part.name}?lines=200`)).lines.join("\n") || "–"; log.scrollTop = log.scrollHeight; } catch (error) { log.textContent = error.message; }
  }
  read();
}
