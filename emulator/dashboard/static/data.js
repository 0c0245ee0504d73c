// What is stored: tables under each service's own role, objects with pictures, Redis keys.
import { api, field, h, keepAddress, loading, picture, problem, table } from "./base.js";
import { t } from "./words.js";

const OWNERS = { auth: "auth", users: "userinfo", locations: "location", waste: "waste", recycle_info: "recycle_info", chat_llm: "chat_llm", tasks: "storage", public: "auth" };
const SERVICES = ["auth", "userinfo", "location", "waste", "recycle_info", "chat_llm", "storage", "ai"];

export function show(main, wanted) {
  const views = { tables, sql, objects, redis };
  const body = h("div", { role: "tabpanel" });
  const tabs = h("div", { class: "tabs", role: "tablist" }, Object.keys(views).map((name, i) => h("button", { type: "button", role: "tab", "aria-selected": i === 0 ? "true" : "false", tabindex: i === 0 ? "0" : "-1", "data-tab": name, onclick: () => choose(name) }, t(name))));
  tabs.addEventListener("keydown", (event) => {
    const all = [...tabs.children], at = all.indexOf(document.activeElement), step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (step && at >= 0) { const next = all[(at + step + all.length) % all.length]; next.focus(); next.click(); }
  });
  main.append(tabs, body);
  function choose(name) {
    for (const tab of tabs.children) { const chosen = tab.dataset.tab === name; tab.setAttribute("aria-selected", chosen); tab.tabIndex = chosen ? 0 : -1; }
    body.replaceChildren();
    views[name](body, wanted);
  }
  choose("tables");
}

const asService = (chosen) => h("select", { name: "as" }, SERVICES.map((name) => h("option", { value: name, selected: name === chosen || null }, name)));

function grid(answer) {
  if (!answer.columns.length) return h("p", {}, `${answer.changed ?? 0} ${t("changed")}`);
  if (!answer.rows.length) return h("p", { class: "empty" }, t("no_rows"));
  return table(answer.columns, answer.rows, (row) => h("tr", {}, row.map((value) => h("td", { class: "mono" }, shown(value)))));
}

// A long value opens to its whole.
function shown(value) {
  if (value === null) return h("span", { class: "muted" }, "null");
  const text = String(value);
  return text.length <= 60 ? text : h("details", {}, h("summary", {}, `${text.slice(0, 48)}…`), text);
}

async function tables(body, wanted) {
  const list = h("div", { class: "panel side" }, loading()), view = h("div", { class: "panel" }, h("p", { class: "empty" }, t("pick_table")));
  body.append(h("div", { class: "split" }, list, view));
  try {
    const all = await api("/data/tables");
    list.replaceChildren(...[...new Set(all.map((one) => one.schema))].map((schema) => h("section", {}, h("h3", {}, schema), h("ul", { class: "list" },
      all.filter((one) => one.schema === schema).map((one) => h("li", {}, h("button", { type: "button", "data-item": true, "data-table": `${schema}.${one.name}`, onclick: () => { open(schema, one.name, OWNERS[schema] ?? "auth", 0); if (innerWidth <= 760) view.scrollIntoView(); } }, one.name, " ", one.rows > 0 ? h("span", { class: "muted small" }, `~${one.rows}`) : null)))))));
    if (wanted) list.querySelector(`[data-table="${CSS.escape(wanted)}"]`)?.click();
  } catch (error) { list.replaceChildren(problem(error)); }
  async function open(schema, name, as, offset) {
    keepAddress("data", `${schema}.${name}`);
    for (const one of list.querySelectorAll("[data-table]")) one.setAttribute("aria-pressed", one.dataset.table === `${schema}.${name}`);
    const chooser = asService(as);
    chooser.addEventListener("change", () => open(schema, name, chooser.value, 0));
    const rows = h("div", { "aria-live": "polite" }, loading());
    view.replaceChildren(h("h2", {}, `${schema}.${name}`), field(t("as_service"), chooser), rows);
    try {
      const answer = await api(`/data/tables/${schema}/${name}?as=${as}&offset=${offset}`);
      rows.replaceChildren(h("p", { class: "small muted" }, answer.role), grid(answer), answer.more ? h("button", { type: "button", onclick: () => open(schema, name, as, offset + 100) }, t("more")) : "");
    } catch (error) { rows.replaceChildren(h("div", { class: "notice bad", role: "alert" }, h("strong", {}, `${t("denied")}: `), h("pre", {}, error.message))); }
  }
}

function sql(body) {
  const service = asService("waste"), text = h("textarea", { spellcheck: "false", value: "SELECT status, count(*) FROM analyses GROUP BY status" }), write = h("input", { type: "checkbox" }), out = h("div", { class: "panel", "aria-live": "polite", hidden: true });
  body.append(h("form", { class: "panel", id: "sql", onsubmit: async (event) => {
    event.preventDefault();
    out.hidden = false;
    out.replaceChildren(loading());
    try { out.replaceChildren(grid(await api("/data/sql", { json: { service: service.value, text: text.value, write: write.checked } }))); } catch (error) { out.replaceChildren(h("div", { class: "notice bad", role: "alert" }, h("pre", {}, error.message))); }
  } }, field(t("as_service"), service), field(t("sql"), text), h("p", { class: "row" }, h("button", { class: "primary" }, t("run")), h("label", { class: "inline" }, write, t("write")))), out);
}

function objects(body) {
  const prefix = h("input", { value: "", placeholder: "images/" }), out = h("div", { class: "panel" });
  body.append(h("form", { class: "panel", onsubmit: (event) => { event.preventDefault(); load(); } }, field(t("prefix"), prefix)), out);
  async function load() {
    out.replaceChildren(loading());
    try {
      const found = await api(`/data/objects?prefix=${encodeURIComponent(prefix.value)}`);
      out.replaceChildren(found.length ? h("div", { class: "thumbs" }, found.map((one) => h("figure", {}, picture(`/data/object?key=${encodeURIComponent(one.key)}`), h("figcaption", {}, one.key, h("br"), `${one.size} B`)))) : h("p", { class: "empty" }, t("no_objects")));
    } catch (error) { out.replaceChildren(problem(error, load)); }
  }
  load();
}

function redis(body) {
  const which = h("select", {}, ["broker", "cache"].map((name) => h("option", { value: name }, t(name)))), match = h("input", { placeholder: "*" }), out = h("div", { class: "panel" });
  body.append(h("form", { class: "panel", onsubmit: (event) => { event.preventDefault(); load(); } }, field("Redis", which), field(t("pattern"), match)), out);
  which.addEventListener("change", load);
  async function load() {
    out.replaceChildren(loading());
    try {
      const found = await api(`/data/redis?which=${which.value}&match=${encodeURIComponent(match.value)}`);
      out.replaceChildren(found.length ? table([t("key"), t("type"), t("size"), t("ttl")], found, (one) => h("tr", {}, h("td", { class: "mono" }, one.key), h("td", {}, one.type), h("td", {}, one.size), h("td", {}, one.ttl < 0 ? "∞" : one.ttl))) : h("p", { class: "empty" }, t("no_rows")));
    } catch (error) { out.replaceChildren(problem(error, load)); }
  }
  load();
}
