// Requests as they come, and one request's path through the processes. `#requests/ID` opens one, by any id of it.
import { api, clockTime, copy, field, follow, h, keepAddress, loading, ms, problem, say, statusClass } from "./base.js";
import { timeline } from "./timeline.js";
import { t } from "./words.js";

export function show(main, wanted, { q = "" }) {
  const filter = h("input", { type: "search", id: "filter", value: q, autocomplete: "off" }), found = h("div", {}, loading()), detail = h("div", { class: "panel" }, h("p", { class: "empty" }, t("pick_request")));
  main.append(h("div", { class: "split wide" }, h("div", { class: "panel side" }, field(t("filter"), filter), found), detail));
  let stopped = false, timer = 0, chosen = wanted;
  async function refresh() {
    try {
      const requests = await api(`/requests?limit=100&q=${encodeURIComponent(filter.value)}`);
      if (stopped) return;
      const focused = found.contains(document.activeElement) ? document.activeElement.dataset.trace : null;
      found.replaceChildren(requests.length ? h("ul", { class: "list dense" }, requests.map(item)) : h("p", { class: "empty" }, t(filter.value ? "no_such_requests" : "no_requests")));
      if (focused) found.querySelector(`[data-trace="${focused}"]`)?.focus({ preventScroll: true });
    } catch (error) { if (!stopped) found.replaceChildren(problem(error, refresh)); }
  }
  function item(r) {
    const status = r.attributes.status ?? "–", path = r.attributes.path ?? r.name.split(" ")[1];
    return h("li", {}, h("button", { type: "button", "data-item": true, "data-trace": r.trace, "aria-pressed": r.trace === chosen ? "true" : "false", title: `${r.name} · ${r.service}`, onclick: () => open(r.trace) },
      h("span", { class: "muted small when" }, clockTime(r.start)), h("span", { class: "what" }, h("span", { class: "method" }, r.name.split(" ")[0]), " ", path.replace("/api/v1", "")),
      r.failed && r.attributes.status < 500 ? h("span", { class: "bad", title: t("state_failed"), role: "img", "aria-label": t("state_failed") }, "✗") : null, h("span", { class: `badge ${statusClass(r.attributes.status ?? 500)}` }, status), h("span", { class: "muted small ms" }, ms(r.ms))));
  }
  async function open(id) {
    chosen = id;
    keepAddress("requests", chosen, { q: filter.value });
    for (const button of found.querySelectorAll("[data-trace]")) button.setAttribute("aria-pressed", button.dataset.trace === chosen);
    detail.replaceChildren(loading());
    if (innerWidth <= 760) detail.scrollIntoView();
    try {
      const trace = await api(`/traces/${encodeURIComponent(id)}`);
      if (stopped || id !== chosen) return;
      if (!trace.rows.length) { detail.replaceChildren(h("p", { class: "empty" }, t("no_trace"))); return; }
      detail.replaceChildren(...about(trace, () => open(id)));
      say(`${trace.title}: ${trace.rows.length}`);
    } catch (error) { detail.replaceChildren(problem(error, () => open(id))); }
  }
  filter.addEventListener("input", () => { keepAddress("requests", chosen, { q: filter.value }); refresh(); });
  refresh();
  if (wanted) open(wanted);
  const end = follow((span) => { if (["server", "gateway"].includes(span.kind) && !timer) timer = setTimeout(() => { timer = 0; refresh(); }, 400); });
  return () => { stopped = true; clearTimeout(timer); end(); };
}

const fact = (label, ...values) => h("div", {}, h("dt", {}, label), h("dd", { class: "mono" }, values));

function about(trace, again) {
  const [method, target] = trace.title.split(" "), isRequest = target?.startsWith("/"), said = h("div", { "aria-live": "polite" });
  const [path, query] = (target ?? "").split("?");
  const asCurl = () => {
    const address = `${location.origin}${path.split("/").map(encodeURIComponent).join("/")}${query ? `?${query}` : ""}`;
    const text = `curl -i -X ${method} '${address.replaceAll("'", "'\\''")}' -H "Authorization: Bearer $TOKEN"`;
    copy(text, said);
  };
  const run = async () => {
    said.replaceChildren(loading());
    try {
      const answer = await api("/call", { json: { method, path, query: Object.fromEntries(new URLSearchParams(query)), person: localStorage.getItem("eco2-person") ?? "" } });
      said.replaceChildren(h("p", {}, h("span", { class: `badge ${statusClass(answer.status)}` }, answer.status), ` ${ms(answer.ms)} `, h("a", { href: `#requests/${answer.trace}` }, t("timeline"))));
    } catch (error) { said.replaceChildren(problem(error)); }
  };
  return [h("h2", { class: "break" }, trace.title, " ", trace.status ? h("span", { class: `badge ${statusClass(trace.status)}` }, trace.status) : null, " ", h("span", { class: "muted small" }, `${clockTime(trace.began)} · ${ms(trace.ms)}`)),
    h("dl", { class: "small ids" }, (trace.ids.request_id ?? []).map((id) => fact(t("request_id"), id)), fact(t("trace"), trace.trace),
      (trace.ids.task ?? []).map((id) => fact(t("task"), h("a", { href: `#tasks/${id}` }, id)))),
    timeline(trace),
    h("p", { class: "row above" }, h("button", { type: "button", onclick: again }, t("refresh")), isRequest ? h("button", { type: "button", onclick: asCurl }, t("curl")) : null,
      isRequest && method === "GET" ? h("button", { type: "button", onclick: run }, t("again")) : null, h("a", { href: `#logs?q=${trace.trace}&seconds=0` }, t("its_logs"))), said];
}
