// What takes the most time: statements with their plans, functions, and errors by kind. `#top?by=p95&open=SERVICE: STATEMENT`
import { api, clockTime, field, h, keepAddress, loading, ms, problem, table } from "./base.js";
import { t } from "./words.js";

export function show(main, chosen, { by = "total", open = "" }) {
  const order = h("select", { name: "by" }, ["total", "p95", "most", "count"].map((one) => h("option", { value: one, selected: one === by || null }, t(`by_${one}`))));
  const found = h("div", { class: "above" }, loading());
  main.append(h("div", { class: "row end" }, field(t("order_by"), order), h("button", { type: "button", onclick: () => refresh() }, t("refresh"))), found);
  let stopped = false;
  async function refresh() {
    try {
      const { statements, functions, errors } = await api(`/top?by=${order.value}&limit=40`);
      if (stopped) return;
      found.replaceChildren(
        panel("top_errors", errors, [t("service"), t("where"), t("error"), t("times"), t("last"), ""], wrong, "no_errors"),
        panel("top_functions", functions, columns(t("function")), (one) => measured(one, h("td", { class: "mono" }, one.function)), "no_calls"),
        panel("top_statements", statements, columns(t("statement")), (one) => statement(one, open === nameOf(one), choose), "no_calls"));
    } catch (error) { if (!stopped) found.replaceChildren(problem(error, refresh)); }
  }
  const keep = () => keepAddress("top", "", { by: order.value === "total" ? "" : order.value, open });
  function choose(one, isOpen) {
    if (isOpen) open = nameOf(one);
    else if (open === nameOf(one)) open = "";
    keep();
  }
  order.addEventListener("input", () => { keep(); refresh(); });
  refresh();
  return () => { stopped = true; };
}

const panel = (name, rows, heads, make, none) => h("section", { class: "panel", "data-words": true, "data-top": name }, h("h2", {}, t(name)), rows.length ? table(heads, rows, make) : h("p", { class: "empty" }, t(none)));
const columns = (what) => [t("service"), what, t("times"), t("by_total"), t("mean"), t("by_p95"), t("by_most"), ""];
const nameOf = (one) => `${one.service}: ${one.statement}`;
const number = (value) => h("td", { class: "number" }, value);
const trace = (id) => h("td", { class: "keep" }, h("a", { class: "small", href: `#requests/${id}`, "data-item": true }, t("example")));

function measured(one, what) {
  return h("tr", {}, h("td", {}, one.service), what, h("td", { class: "number" }, one.count, one.failures ? h("span", { class: "bad small" }, ` · ${one.failures} ${t("of_failed")}`) : null),
    number(ms(one.total)), number(ms(one.mean)), number(ms(one.p95)), number(ms(one.most)), trace(one.trace));
}

function statement(one, open, choose) {
  const plan = h("div", { "aria-live": "polite" });
  const text = h("details", { class: "statement", open, ontoggle: async () => {
    if (text.isConnected) choose(one, text.open);
    if (!text.open || plan.childElementCount) return;
    plan.replaceChildren(loading());
    try {
      const found = await api("/top/explain", { json: { service: one.service, statement: one.statement } });
      plan.replaceChildren(h("p", { class: "small muted" }, `EXPLAIN · ${t("role")} ${found.role}`), h("pre", { class: "log", tabindex: "0", role: "region", "aria-label": "EXPLAIN" }, found.plan));
    } catch (error) { plan.replaceChildren(problem(error)); }
  } }, h("summary", { class: "mono small" }, one.statement.length > 110 ? `${one.statement.slice(0, 110)}…` : one.statement), one.statement.length > 110 ? h("p", { class: "mono small" }, one.statement) : null, plan);
  return measured(one, h("td", { class: "broad" }, text));
}

function wrong(one) {
  return h("tr", {}, h("td", {}, one.service), h("td", { class: "mono" }, one.where), h("td", {}, h("strong", { class: "bad" }, one.error), one.said ? h("span", { class: "small muted" }, ` ${one.said}`) : null), number(one.count),
    h("td", { class: "keep muted small" }, clockTime(one.last)), trace(one.trace));
}
