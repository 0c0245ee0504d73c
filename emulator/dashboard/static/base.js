// Elements, requests and small helpers that every page uses. Data becomes text, never markup.
import { current, t } from "./words.js";

export const API = "/_emulator/api";
const SVG = "http://www.w3.org/2000/svg";

export function h(tag, attributes = {}, ...children) { return fill(document.createElement(tag), attributes, children); }
export function s(tag, attributes = {}, ...children) { return fill(document.createElementNS(SVG, tag), attributes, children); }

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "value" || name === "checked" || name === "disabled") element[name] = value;
    else if (value !== null && value !== undefined && value !== false) element.setAttribute(name, value === true ? "" : value);
  }
  for (const child of children.flat(3)) {
    if (child === null || child === undefined || child === false) continue;
    element.append(child instanceof Node ? child : document.createTextNode(String(child)));
  }
  return element;
}

// The address that `eco2 open` prints ends with `#token=…&page=…`. A fragment is sent nowhere; the tab keeps the token.
const given = new URLSearchParams(location.hash.slice(1));
if (given.get("token")) {
  sessionStorage.setItem("eco2-token", given.get("token"));
  history.replaceState(null, "", `#${given.get("page") ?? "system"}`);
}
const token = () => sessionStorage.getItem("eco2-token") ?? "";
export const hasToken = () => token() !== "";

// Every page learns here whether the emulator is still there.
async function ask(path, init = {}) {
  const tell = (here) => dispatchEvent(new CustomEvent("eco2-here", { detail: here }));
  try {
    const answer = await fetch(API + path, { ...init, headers: { "X-Eco2-Token": token(), ...init.headers } });
    tell(![502, 503].includes(answer.status));
    return answer;
  } catch (error) {
    if (error.name === "AbortError") throw error;
    tell(false);
    throw new Error(t("away"));
  }
}

// What is chosen on a page, and its filters, are in the address: `#requests/ID?q=…`. Nothing is shown anew.
export function keepAddress(page, chosen = "", filters = {}) {
  const query = new URLSearchParams(Object.entries(filters).filter(([, value]) => value)).toString();
  history.replaceState(null, "", `#${page}${chosen ? `/${encodeURIComponent(chosen)}` : ""}${query ? `?${query}` : ""}`);
}

export async function api(path, options = {}) {
  const init = { method: options.method ?? (options.json === undefined ? "GET" : "POST"), signal: options.signal };
  if (options.json !== undefined) { init.body = JSON.stringify(options.json); init.headers = { "Content-Type": "application/json" }; }
  const answer = await ask(path, init);
  if (answer.status === 401) throw new Error(t("needs_token"));
  const text = await answer.text();
  const body = text ? JSON.parse(text) : null;
  if (!answer.ok) throw Object.assign(new Error(body?.detail ?? `${answer.status} ${answer.statusText}`), { status: answer.status });
  return body;
}

export function say(text) { document.getElementById("live").textContent = text; }
export function loading() { return h("p", { class: "empty" }, t("loading")); }
export function problem(error, again) {
  return h("div", { class: "notice bad", role: "alert" }, h("strong", {}, `${t("failed")}: `), error.message,
    again ? h("div", {}, h("button", { type: "button", onclick: again }, t("retry"))) : null);
}
export const ms = (value) => (value >= 1000 ? `${(value / 1000).toFixed(2)} s` : `${value.toFixed(value < 10 ? 1 : 0)} ms`);
export const clockTime = (seconds) => new Date(seconds * 1000).toLocaleTimeString("en-GB");
export const dateTime = (text) => new Date(text).toLocaleString(current() === "ko" ? "ko-KR" : "en-GB", { dateStyle: "medium", timeStyle: "medium", hourCycle: "h23" });
export const statusClass = (status) => (status >= 500 ? "bad" : status >= 400 ? "warn" : "good");
export const pretty = (text) => { try { return JSON.stringify(JSON.parse(text), null, 2); } catch { return text; } };

// Scrolls a list to its item; the page itself stays where it is.
export function seen(list, item) {
  const box = list.getBoundingClientRect(), { top, bottom } = item.getBoundingClientRect();
  if (top < box.top || bottom > box.bottom) list.scrollTop += (top + bottom - box.top - box.bottom) / 2;
}

export function field(label, control) { return h("label", {}, h("span", {}, label), control); }

export function dialog(title, ...content) {
  const box = h("dialog", { "aria-label": title }, h("div", { class: "dialog-head" }, h("h2", {}, title),
    h("button", { type: "button", onclick: () => box.close() }, t("close"))), h("div", { class: "dialog-body" }, ...content));
  box.addEventListener("close", () => box.remove());
  document.body.append(box);
  box.showModal();
  return box;
}

// Into the clipboard; where the browser does not let it, as text to choose.
export async function copy(text, said) {
  try { await navigator.clipboard.writeText(text); said.replaceChildren(h("p", { class: "good" }, t("copied"))); } catch { said.replaceChildren(h("pre", { class: "log" }, text)); }
}

export function table(columns, rows, make, head = (column) => h("th", { scope: "col" }, column)) {
  return h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": columns.filter(Boolean).join(", ") }, h("table", {},
    h("thead", {}, h("tr", {}, columns.map((column) => head(column)))), h("tbody", {}, rows.map(make))));
}

// A picture that only who has the token may see: an <img> by itself can't send it.
export function picture(path) {
  const image = h("img", { alt: "" });
  ask(path).then((answer) => (answer.ok ? answer.blob() : null)).then((blob) => { if (blob) image.src = URL.createObjectURL(blob); }).catch(() => {});
  image.addEventListener("load", () => URL.revokeObjectURL(image.src));
  return image;
}

// Server-Sent Events by fetch: EventSource can't send a token.
export async function events(answer, take) {
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    rest += value;
    const blocks = rest.split("\n\n");
    rest = blocks.pop();
    for (const block of blocks) {
      const name = /^event: (.*)$/m.exec(block)?.[1] ?? "message", data = /^data: (.*)$/m.exec(block)?.[1];
      if (data || name !== "message") take(name, data ? JSON.parse(data) : {});
    }
  }
}

// The spans as they come, also after the emulator was away. Returns what ends the listening.
export function follow(take) {
  const ending = new AbortController();
  (async () => {
    while (!ending.signal.aborted) {
      try { await events(await ask("/stream", { signal: ending.signal }), (name, span) => take(span)); } catch { /* it went away */ }
      await new Promise((resolve) => setTimeout(resolve, 2000));
    }
  })();
  return () => ending.abort();
}
