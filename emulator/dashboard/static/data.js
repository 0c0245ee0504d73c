// What is stored: tables under each service's own role (data-table.js), objects with pictures, Redis keys. `#data?tab=redis&match=…`
import { api, field, h, keepAddress, loading, picture, problem, seen, table } from "./base.js";
import { asService, refusal, showTable, shown } from "./data-table.js";
import { t } from "./words.js";

const OWNERS = { auth: "auth", users: "userinfo", locations: "location", waste: "waste", recycle_info: "recycle_info", chat_llm: "chat_llm", tasks: "storage", public: "auth" };

export function show(main, wanted, filters) {
  const views = { tables, sql, objects, redis };
  const body = h("div", { role: "tabpanel" });
  const tabs = h("div", { class: "tabs", role: "tablist" }, Object.keys(views).map((name) => h("button", { type: "button", role: "tab", "data-tab": name, onclick: () => { keepTab(name); choose(name, "", {}); } }, t(name))));
  tabs.addEventListener("keydown", (event) => {
    const all = [...tabs.children], at = all.indexOf(document.activeElement), step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (step && at >= 0) { const next = all[(at + step + all.length) % all.length]; next.focus(); next.click(); }
  });
  main.append(tabs, body);
  function choose(name, table_, given) {
    for (const tab of tabs.children) { const chosen = tab.dataset.tab === name; tab.setAttribute("aria-selected", chosen); tab.tabIndex = chosen ? 0 : -1; }
    body.replaceChildren();
    views[name](body, table_, given);
  }
  choose(Object.hasOwn(views, filters.tab ?? "") ? filters.tab : "tables", wanted, filters);
}

const keepTab = (tab, given = {}) => keepAddress("data", "", { tab: tab === "tables" ? "" : tab, ...given });

function grid(answer) {
  if (!answer.columns.length) return h("p", {}, `${answer.changed ?? 0} ${t("changed")}`);
  if (!answer.rows.length) return h("p", { class: "empty" }, t("no_rows"));
  return table(answer.columns, answer.rows, (row) => h("tr", {}, row.map((value) => h("td", { class: "mono" }, shown(value)))));
}

async function tables(body, wanted, given) {
  const list = h("div", { class: "panel side" }, loading()), view = h("div", { class: "panel" }, h("p", { class: "empty" }, t("pick_table")));
  body.append(h("div", { class: "split" }, list, view));
  try {
    const all = await api("/data/tables");
    list.replaceChildren(...[...new Set(all.map((one) => one.schema))].map((schema) => h("section", {}, h("h3", {}, schema), h("ul", { class: "list" },
      all.filter((one) => one.schema === schema).map((one) => h("li", {}, h("button", { type: "button", "data-item": true, "data-table": `${schema}.${one.name}`, onclick: () => open(one, {}) }, one.name, " ", one.rows > 0 ? h("span", { class: "muted small" }, `~${one.rows}`) : null)))))));
    const first = all.find((one) => `${one.schema}.${one.name}` === wanted);
    if (first) open(first, given);
  } catch (error) { list.replaceChildren(problem(error)); }
  function open(one, filters) {
    for (const button of list.querySelectorAll("[data-table]")) button.setAttribute("aria-pressed", button.dataset.table === `${one.schema}.${one.name}`);
    seen(list, list.querySelector('[aria-pressed="true"]'));
    showTable(view, one, OWNERS[one.schema] ?? "auth", filters);
    if (innerWidth <= 760) view.scrollIntoView();
  }
}

function sql(body, wanted, given) {
  const service = asService(given.service ?? "waste"), text = h("textarea", { spellcheck: "false", value: given.text ?? "SELECT status, count(*) FROM analyses GROUP BY status" }), write = h("input", { type: "checkbox" }), out = h("div", { class: "panel", "aria-live": "polite", hidden: true });
  body.append(h("form", { class: "panel", id: "sql", onsubmit: async (event) => {
    event.preventDefault();
    keepTab("sql", { service: service.value, text: text.value });
    out.hidden = false;
    out.replaceChildren(loading());
    try { out.replaceChildren(grid(await api("/data/sql", { json: { service: service.value, text: text.value, write: write.checked } }))); } catch (error) { out.replaceChildren(refusal(error)); }
  } }, field(t("as_service"), service), field(t("sql"), text), h("p", { class: "row" }, h("button", { class: "primary" }, t("run")), h("label", { class: "inline" }, write, t("write")))), out);
}

function objects(body, wanted, given) {
  const prefix = h("input", { type: "search", id: "filter", value: given.prefix ?? "", placeholder: "images/" }), out = h("div", { class: "panel" });
  body.append(h("form", { class: "panel", onsubmit: (event) => { event.preventDefault(); keepTab("objects", { prefix: prefix.value }); load(); } }, field(t("prefix"), prefix)), out);
  async function load() {
    out.replaceChildren(loading());
    try {
      const found = await api(`/data/objects?prefix=${encodeURIComponent(prefix.value)}`);
      out.replaceChildren(found.length ? h("div", { class: "thumbs" }, found.map((one) => h("figure", {}, picture(`/data/object?key=${encodeURIComponent(one.key)}`), h("figcaption", {}, one.key, h("br"), `${one.size} B`)))) : h("p", { class: "empty" }, t("no_objects")));
    } catch (error) { out.replaceChildren(problem(error, load)); }
  }
  load();
}

function redis(body, wanted, given) {
  const which = h("select", { name: "which" }, ["broker", "cache"].map((name) => h("option", { value: name, selected: name === given.which || null }, t(name)))), match = h("input", { type: "search", id: "filter", value: given.match ?? "", placeholder: "*" }), out = h("div", { class: "panel" });
  const search = () => { keepTab("redis", { which: which.value === "broker" ? "" : which.value, match: match.value }); load(); };
  body.append(h("form", { class: "panel", onsubmit: (event) => { event.preventDefault(); search(); } }, field("Redis", which), field(t("pattern"), match)), out);
  which.addEventListener("change", search);
  async function load() {
    out.replaceChildren(loading());
    try {
      const found = await api(`/data/redis?which=${which.value}&match=${encodeURIComponent(match.value)}`);
      out.replaceChildren(found.length ? table([t("key"), t("type"), t("size"), t("ttl")], found, (one) => h("tr", {}, h("td", { class: "mono" }, one.key), h("td", {}, one.type), h("td", {}, one.size), h("td", {}, one.ttl < 0 ? "∞" : one.ttl))) : h("p", { class: "empty" }, t("no_rows")));
    } catch (error) { out.replaceChildren(problem(error, load)); }
  }
  load();
}
