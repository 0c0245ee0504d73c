// The drawing of the system. Stores are bars that every wire to them ends at, so that wires run straight and beside each
// other: wide screens have the services left and the workers right of the bars; narrow ones have all of them left.
import { s } from "./base.js";
import { t } from "./words.js";

const STORES = ["redis-broker", "redis-cache", "s3", "postgres"];
const NARROW = 1020, BAR_WITH_WORDS = 84, PAIR_GAP = 26;

// "failed" is also the beginning of every error's line.
export const stateWord = (state) => t(state === "failed" ? "state_failed" : state);

// Where everything is: boxes and bars by name, wires as paths. `width` is in CSS pixels, and so is the drawing.
export function place(system, width) {
  const names = system.parts.map((part) => part.name);
  // A replica is beside the first of its part, which began earlier.
  const apis = names.filter((name) => name.startsWith("api-")).sort();
  const workers = names.filter((name) => name.startsWith("worker-")).sort().flatMap((name) => [name, name.replace("worker-", "syncer-")]);
  const aside = names.filter((name) => ![...apis, ...workers, ...STORES, "gateway"].includes(name));
  const stores = STORES.filter((name) => names.includes(name));
  const boxes = new Map();
  const column = (list, x, w, tall, gap, top) => list.forEach((name, i) => boxes.set(name, { x, y: top + i * (tall + gap), w, h: tall }));
  const narrow = width < NARROW;
  let height, first, last, foot = 0;
  if (narrow) {
    const w = Math.max(146, Math.min(230, width * 0.46));
    column(["gateway", ...apis, ...workers, ...aside].filter((name) => names.includes(name)), 12, w, 46, 8, 1);
    const rows = 1 + apis.length + workers.length;
    height = Math.max(...[...boxes.values()].map((box) => box.y + box.h)) + 2;
    first = 12 + w + 38; last = width - 1; foot = rows * 54 - 8;
  } else {
    const pairs = workers.length * 68 - 14 + Math.max(workers.length / 2 - 1, 0) * PAIR_GAP;
    const tall = Math.max(apis.length * 68 - 14, pairs);
    column(apis, 200, 166, 54, 14, 1);
    boxes.set("gateway", { x: 1, y: Math.max((tall - 54) / 2, 1 + aside.length * 68), w: 140, h: 54 });
    aside.forEach((name, i) => boxes.set(name, { x: 1, y: 1 + i * 68, w: 140, h: 54 }));
    workers.forEach((name, i) => boxes.set(name, { x: width - 167, y: 1 + (tall - pairs) / 2 + i * 68 + Math.floor(i / 2) * PAIR_GAP, w: 166, h: 54 }));
    height = tall + 24; first = 200 + 166 + 44; last = width - 167 - 30; foot = tall + 1;
  }
  const gap = narrow ? Math.min(26, width * 0.022) : 30;
  const thick = (last - first - gap * (stores.length - 1)) / stores.length;
  stores.forEach((name, i) => boxes.set(name, { x: first + i * (thick + gap), y: 1, w: thick, h: foot - 1, bar: true, upright: thick < BAR_WITH_WORDS }));

  const wires = new Map();
  let lane = 0;
  for (const [from, to] of system.links) {
    const a = boxes.get(from), b = boxes.get(to);
    if (!a || !b) continue;
    let d, end = null;
    if (b.bar && from === "gateway" && !narrow) {
      d = `M${a.x + a.w / 2} ${a.y + a.h} V${height - 8} H${b.x + b.w / 2} V${b.y + b.h}`; end = [b.x + b.w / 2, b.y + b.h];
    } else if (b.bar) {
      const y = a.y + 0.2 * a.h + (STORES.indexOf(to) * a.h * 0.6) / 3, right = a.x > b.x;
      end = [right ? b.x + b.w : b.x, y]; d = `M${right ? a.x : a.x + a.w} ${y} H${end[0]}`;
    } else if (from === "gateway") {
      const y = b.y + b.h / 2, m = a.y + a.h / 2;
      d = narrow ? `M${a.x} ${m} H4 V${y} H${b.x}` : `M${a.x + a.w} ${m} C${a.x + a.w + 34} ${m} ${b.x - 34} ${y} ${b.x} ${y}`;
    } else if (to.startsWith("syncer-")) {
      d = `M${a.x + a.w / 2} ${a.y + a.h} V${b.y}`;
    } else if (a.x === b.x) {
      const x = a.x + a.w + 10 + (lane++ % 4) * 7, y1 = a.y + a.h - 4, y2 = b.y + b.h - 4;
      d = `M${a.x + a.w} ${y1} H${x} V${y2} H${b.x + b.w}`; end = [b.x + b.w, y2];
    } else {
      const y1 = a.y + a.h - 4 - (lane++ % 2) * 44, y2 = b.y + b.h - 4;
      d = `M${a.x} ${y1} H${last + 14} C${last - 150} ${y1} ${first + 120} ${y2} ${first - 24} ${y2} H${b.x + b.w}`; end = [b.x + b.w, y2];
    }
    wires.set(`${from}>${to}`, { d, end, call: !b.bar && from !== "gateway" && !to.startsWith("syncer-") });
  }
  return { width, height, boxes, wires, narrow };
}

export function drawMap(shape, { width, height, boxes, wires, narrow }, open, still) {
  const paths = new Map(), parts = new Map(), lines = s("g"), pulses = s("g"), bars = s("g"), front = s("g"), dots = s("g");
  for (const [key, { d, end, call }] of wires) {
    const wire = s("path", { class: call ? "wire call" : "wire", "data-wire": key, d });
    const dot = end ? s("circle", { class: "end", cx: end[0], cy: end[1], r: 2.5 }) : null;
    paths.set(key, { wire, dot });
    lines.append(wire);
    if (dot) dots.append(dot);
  }
  for (const [name, box] of boxes) {
    const lamp = s("circle", { class: "lamp", cx: box.upright ? box.w / 2 : 14, cy: box.upright ? 14 : 18, r: 5 });
    const title = s("text", { class: "name" }, name), sub = s("text", { class: "sub" }), more = s("text", { class: "sub" });
    if (box.upright) {
      for (const [text, y] of [[title, box.w / 2 + 4.5], [sub, box.w / 2 + 4]]) { text.setAttribute("transform", "rotate(90)"); text.setAttribute("y", -y + 8); }
      title.setAttribute("x", 28); sub.setAttribute("x", 128);
    } else {
      title.setAttribute("x", 25); title.setAttribute("y", 22.5);
      sub.setAttribute("x", 11); sub.setAttribute("y", box.bar ? 42 : box.h - 10);
      more.setAttribute("x", 11); more.setAttribute("y", 59);
    }
    const group = s("g", { class: `part${box.bar ? " bar" : ""}`, transform: `translate(${box.x} ${box.y})`, tabindex: "0", role: "button", "data-part": name },
      s("rect", { width: box.w, height: box.h, rx: 7 }), lamp, title, " ", sub, " ", box.bar && !box.upright ? more : null);
    group.addEventListener("click", () => open(name));
    group.addEventListener("keydown", (event) => { if (event.key === "Enter" || event.key === " ") { event.preventDefault(); open(name); } });
    parts.set(name, { group, lamp, sub, more, box });
    (box.bar ? bars : front).append(group);
  }
  const element = s("svg", { class: narrow ? "map narrow" : "map", viewBox: `0 0 ${width} ${height}`, width, height, role: "group", "aria-label": t("map") }, lines, bars, dots, pulses, front);

  function travel(key, back = false) {
    const wire = paths.get(key)?.wire;
    if (!wire) return;
    wire.classList.add("hot");
    setTimeout(() => wire.classList.remove("hot"), 900);
    if (still.matches || pulses.childElementCount > 40) return;
    const dot = s("circle", { class: "pulse", r: 4 }), length = wire.getTotalLength(), start = performance.now();
    pulses.append(dot);
    (function step(now) {
      const part = Math.min(Math.max(now - start, 0) / 700, 1), point = wire.getPointAtLength(length * (back ? 1 - part : part));
      dot.setAttribute("cx", point.x); dot.setAttribute("cy", point.y);
      if (part < 1) requestAnimationFrame(step); else dot.remove();
    })(start);
  }

  return {
    shape, element,
    pulse(span) {
      const short = span.service.replaceAll("_", "-"), name = boxes.has(`api-${short}`) ? `api-${short}` : boxes.has(`worker-${short}`) ? `worker-${short}` : span.service;
      if (span.kind === "server") travel(`gateway>${name}`);
      else if (span.kind === "sql") travel(`${name}>postgres`);
      else if (span.kind === "s3") travel(`${name}>s3`);
      else if (span.kind === "journal") travel(`${name}>syncer-${short}`);
      else if (["task", "result"].includes(span.kind)) travel(`${name}>redis-broker`, true);
      else if (["publish", "enqueue"].includes(span.kind)) travel(`${name}>redis-broker`);
    },
    update(now) {
      for (const part of now.parts) {
        const found = parts.get(part.name);
        if (!found) continue;
        const memory = part.memory ? `${Math.round(part.memory)} MiB` : "", restarts = part.restarts ? `↻ ${part.restarts}` : "";
        found.lamp.setAttribute("class", `lamp ${part.state}`);
        const stacked = found.box.bar && !found.box.upright;
        found.sub.textContent = (stacked ? [stateWord(part.state), restarts] : [stateWord(part.state), memory, restarts]).filter(Boolean).join(" · ");
        found.more.textContent = memory;
      }
      for (const [key, { wire, dot }] of paths) {
        const [from, to] = key.split(">");
        const hit = now.faults.some((line) => concerns(line, from, to));
        wire.classList.toggle("broken", hit);
        dot?.classList.toggle("broken", hit);
      }
    },
  };
}

// Whether a fault's line, as `eco2 fault list` prints it, is about this wire.
function concerns(line, from, to) {
  const [, target, source] = /^\S+: (\S+)(?:.* from ([^\s,]+))?/.exec(line) ?? [], family = (name) => name.split("/")[0];
  const there = target && !to.startsWith("syncer-") && (target === "*" || [to, to.split("-")[0]].includes(family(target)));
  return Boolean(there) && (!source || family(source) === family(from));
}
