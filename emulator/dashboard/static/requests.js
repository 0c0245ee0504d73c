// Requests as they come, and one request's path through the processes. `#requests/ID` opens one, by any id of it.
import { api, clockTime, field, follow, h, loading, ms, problem, say, statusClass, timeline } from "./base.js";
import { t } from "./words.js";

export function show(main, wanted) {
  const filter = h("input", { type: "search", id: "filter", value: wanted }), found = h("div", {}, loading()), detail = h("div", { class: "panel" }, h("p", { class: "empty" }, t("pick_request")));
  main.append(h("div", { class: "split" }, h("div", { class: "panel side" }, field(t("filter"), filter), found), detail));
  let stopped = false, timer = 0, chosen = null, opening = Boolean(wanted);
  async function refresh() {
    try {
      const requests = await api(`/requests?limit=60&q=${encodeURIComponent(filter.value)}`);
      if (stopped) return;
      const focused = found.contains(document.activeElement) ? document.activeElement.dataset.trace : null;
      found.replaceChildren(requests.length ? h("ul", { class: "list" }, requests.map((r) => h("li", {}, h("button", { type: "button", "data-trace": r.trace, "aria-pressed": r.trace === chosen ? "true" : "false", onclick: () => open(r) },
        h("span", { class: "line" }, h("span", { class: "mono" }, h("span", { class: "method" }, r.name.split(" ")[0]), " ", r.attributes.path ?? r.name.split(" ")[1]), h("span", { class: `badge ${statusClass(r.attributes.status)}` }, r.attributes.status)),
        h("span", { class: "line small muted" }, h("span", {}, `${clockTime(r.start)} · ${r.service}`), h("span", {}, ms(r.ms))))))) : h("p", { class: "empty" }, t("no_requests")));
      if (opening && requests.length) { opening = false; open(requests[0]); }
      if (focused) found.querySelector(`[data-trace="${focused}"]`)?.focus({ preventScroll: true });
    } catch (error) { if (!stopped) found.replaceChildren(problem(error, refresh)); }
  }
  async function open(r) {
    chosen = r.trace;
    for (const button of found.querySelectorAll("[data-trace]")) button.setAttribute("aria-pressed", button.dataset.trace === chosen);
    detail.replaceChildren(loading());
    if (innerWidth <= 760) detail.scrollIntoView();
    try {
      const spans = await api(`/traces/${r.trace}`);
      const query = r.attributes.query ? `?${r.attributes.query}` : "";
      const method = r.name.split(" ")[0], address = `${location.origin}${r.attributes.path.split("/").map(encodeURIComponent).join("/")}${query}`, said = h("div", { "aria-live": "polite" });
      const copy = async () => {
        const line = `curl -i -X ${method} '${address.replaceAll("'", "'\\''")}' -H "Authorization: Bearer $TOKEN"`;
        try { await navigator.clipboard.writeText(line); said.replaceChildren(h("p", { class: "good" }, t("copied"))); } catch { said.replaceChildren(h("pre", { class: "log" }, line)); }
      };
      const again = async () => {
        said.replaceChildren(loading());
        try {
          const answer = await api("/call", { json: { method, path: r.attributes.path, query: Object.fromEntries(new URLSearchParams(query)), person: localStorage.getItem("eco2-person") ?? "" } });
          said.replaceChildren(h("p", {}, h("span", { class: `badge ${statusClass(answer.status)}` }, answer.status), ` ${ms(answer.ms)}`));
        } catch (error) { said.replaceChildren(problem(error)); }
      };
      detail.replaceChildren(h("h2", {}, t("timeline")), h("p", { class: "mono small muted" }, `${method} ${r.attributes.path}${query}`, h("br"), `${t("request_id")} ${r.attributes.request_id ?? "–"}`, h("br"), `${t("trace")} ${r.trace}`,
        r.tasks.map((id) => [h("br"), `${t("task")} `, h("a", { href: `#tasks/${id}` }, id)])), timeline(spans),
        h("p", { class: "row above" }, h("button", { type: "button", onclick: () => open(r) }, t("refresh")), h("button", { type: "button", onclick: copy }, t("curl")), method === "GET" ? h("button", { type: "button", onclick: again }, t("again")) : null), said);
      say(`${method} ${r.attributes.path}: ${spans.length}`);
    } catch (error) { detail.replaceChildren(problem(error, () => open(r))); }
  }
  filter.addEventListener("input", refresh);
  refresh();
  const end = follow((span) => { if (span.kind === "server" && !timer) timer = setTimeout(() => { timer = 0; refresh(); }, 400); });
  return () => { stopped = true; clearTimeout(timer); end(); };
}
