// Requests as they come, and one request's way across the processes.
import { api, clockTime, field, follow, h, loading, ms, problem, say, statusClass, table, timeline } from "./base.js";
import { t } from "./words.js";

export function show(main) {
  const filter = h("input", { type: "search", id: "filter" }), list = h("div", { class: "panel" }, loading()), detail = h("div", { class: "panel" }, h("p", { class: "empty" }, t("pick_request")));
  main.append(h("div", { class: "panel" }, field(t("filter"), filter)), list, detail);
  let stopped = false, timer = 0;
  async function refresh() {
    try {
      const found = await api(`/requests?limit=60&q=${encodeURIComponent(filter.value)}`);
      if (stopped) return;
      list.replaceChildren(found.length ? table([t("time"), t("status"), t("route"), t("service"), "ms"], found, (r) => h("tr", { class: "clickable", onclick: () => open(r) },
        h("td", { class: "mono" }, clockTime(r.start)), h("td", {}, h("span", { class: `badge ${statusClass(r.attributes.status)}` }, r.attributes.status)),
        h("td", {}, h("button", { type: "button", class: "mono" }, r.name)), h("td", {}, r.service), h("td", { class: "mono" }, ms(r.ms)))) : h("p", { class: "empty" }, t("no_requests")));
    } catch (error) { if (!stopped) list.replaceChildren(problem(error, refresh)); }
  }
  async function open(r) {
    detail.replaceChildren(loading());
    try {
      const spans = await api(`/traces/${r.trace}`);
      const query = r.attributes.query ? `?${r.attributes.query}` : "";
      const method = r.name.split(" ")[0], address = `${location.origin}${r.attributes.path}${query}`, said = h("div");
      const copy = async () => { await navigator.clipboard.writeText(`curl -i -X ${method} '${address.replaceAll("'", "'\\''")}' -H 'Authorization: Bearer TOKEN'`); say(t("copied")); said.replaceChildren(h("p", { class: "good" }, t("copied"))); };
      const again = async () => { const answer = await api("/call", { json: { method, path: r.attributes.path, query: Object.fromEntries(new URLSearchParams(query)), person: localStorage.getItem("eco2-person") ?? "" } }); said.replaceChildren(h("p", { class: statusClass(answer.status) }, `${answer.status} · ${ms(answer.ms)}`)); };
      detail.replaceChildren(h("h2", {}, t("timeline")), h("p", { class: "mono small muted" }, `${r.attributes.path} · ${r.trace}`), timeline(spans),
        h("p", { class: "row" }, h("button", { type: "button", onclick: copy }, t("curl")), method === "GET" ? h("button", { type: "button", onclick: again }, t("again")) : null), said);
      detail.scrollIntoView({ block: "nearest" });
    } catch (error) { detail.replaceChildren(problem(error)); }
  }
  filter.addEventListener("input", refresh);
  refresh();
  const end = follow((span) => { if (span.kind === "server" && !timer) timer = setTimeout(() => { timer = 0; if (!list.contains(document.activeElement)) refresh(); }, 400); });
  return () => { stopped = true; clearTimeout(timer); end(); };
}
