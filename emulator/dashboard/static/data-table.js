// One table: sorted by its heads, filtered by a column, ids that lead on, rows copied as SQL and, once writing is allowed, edited.
// `#data/SCHEMA.TABLE?sort=…&order=desc&column=…&operator=…&value=…` is what is shown.
import { api, copy, dialog, field, h, keepAddress, loading, problem, table } from "./base.js";
import { t } from "./words.js";

const SERVICES = ["auth", "userinfo", "location", "waste", "recycle_info", "chat_llm", "storage", "ai"];
const OPERATORS = { eq: "=", ne: "≠", contains: "op_contains", lt: "<", le: "≤", gt: ">", ge: "≥", null: "op_null", not_null: "op_not_null" };
const PAGE = 100;

export const asService = (chosen) => h("select", { name: "as" }, SERVICES.map((name) => h("option", { value: name, selected: name === chosen || null }, name)));
export const refusal = (error) => error.status === 409 ? h("div", { class: "notice bad", role: "alert" }, h("strong", {}, `${t("denied")}: `), h("pre", {}, error.message)) : problem(error);

// A long value opens to its whole.
export function shown(value) {
  if (value === null) return h("span", { class: "muted" }, "null");
  const text = String(value);
  return text.length <= 60 ? text : h("details", {}, h("summary", {}, `${text.slice(0, 48)}…`), text);
}

export function showTable(panel, { schema, name }, owner, given) {
  const state = { as: owner, sort: "", order: "asc", column: "", operator: "eq", value: "", ...given, offset: Number(given.offset) || 0 };
  const of = { schema, table: name };
  let answer = null, turn = 0;
  const as = asService(state.as), column = h("select", { name: "column" }), value = h("input", { type: "search", id: "filter", name: "value", value: state.value, autocomplete: "off" });
  const operator = h("select", { name: "operator" }, Object.entries(OPERATORS).map(([one, sign]) => h("option", { value: one, selected: one === state.operator || null }, t(sign))));
  const write = h("input", { type: "checkbox", name: "write", onchange: () => answer && draw() });
  const said = h("div", { "aria-live": "polite" }), out = h("div", {}, loading()), compared = field(t("value"), value);
  const take = () => Object.assign(state, { as: as.value, column: column.value, operator: operator.value, value: value.value });
  const compares = () => { compared.hidden = ["null", "not_null"].includes(operator.value); };
  const columns = (names) => column.replaceChildren(...["", ...names].map((one) => h("option", { value: one, selected: one === state.column || null }, one || t("all_rows"))));
  operator.addEventListener("change", compares);
  as.addEventListener("change", () => { take(); load(0); });
  column.addEventListener("change", () => { if (!column.value) { take(); load(0); } });
  panel.replaceChildren(h("h2", { class: "break" }, `${schema}.${name}`),
    h("form", { class: "row end", id: "rows-filter", onsubmit: (event) => { event.preventDefault(); take(); load(0); } },
      field(t("as_service"), as), field(t("column"), column), field(t("comparison"), operator), h("div", { class: "grow" }, compared), h("button", {}, t("apply_filter"))),
    h("p", { class: "row above" }, h("button", { type: "button", id: "copy-query", onclick: () => answer && copy(answer.sql, said) }, t("copy_query")), h("label", { class: "inline" }, write, t("write"))), said, out);
  columns(state.column ? [state.column] : []);
  compares();
  load(state.offset);

  async function load(offset) {
    state.offset = offset;
    const filtered = state.column !== "";
    keepAddress("data", `${schema}.${name}`, { as: state.as === owner ? "" : state.as, sort: state.sort, order: state.sort && state.order === "desc" ? "desc" : "",
      column: state.column, operator: filtered && state.operator !== "eq" ? state.operator : "", value: filtered ? state.value : "", offset: offset || "" });
    const now = ++turn;
    try {
      const found = await api(`/data/tables/${encodeURIComponent(schema)}/${encodeURIComponent(name)}?${new URLSearchParams(state)}`);
      if (now !== turn) return;
      answer = found;
      columns(answer.columns);
      draw();
    } catch (error) { if (now === turn) { answer = null; out.replaceChildren(refusal(error)); } }
  }

  function draw() {
    const { keys, rows, more, role } = answer;
    const acts = (key) => h("td", { class: "keep" }, h("button", { type: "button", "data-copy": true, onclick: () => copyRow(key) }, t("copy_insert")), write.checked ? [" ", h("button", { type: "button", "data-edit": true, onclick: () => edit(key) }, t("edit"))] : null);
    const grid = rows.length ? table([...(keys.length ? [""] : []), ...answer.columns], rows, (row, i) => h("tr", {}, keys.length ? acts(keys[i]) : null, row.map((one, at) => h("td", { class: isShort(one) ? "mono keep" : "mono" }, cell(answer.columns[at], one)))), head) : h("p", { class: "empty" }, t("no_rows"));
    const turnTo = (offset, word) => h("button", { type: "button", onclick: () => load(offset) }, t(word));
    out.replaceChildren(h("p", { class: "small muted" }, role, keys.length || !rows.length ? "" : ` · ${t("no_key")}`), grid,
      h("p", { class: "row" }, state.offset ? turnTo(Math.max(state.offset - PAGE, 0), "previous") : null, more ? turnTo(state.offset + PAGE, "more") : null));
  }

  function head(title) {
    if (!title) return h("td");
    const sorted = state.sort === title, down = sorted && state.order === "desc";
    const sort = async () => {
      Object.assign(state, { sort: title, order: sorted && !down ? "desc" : "asc" });
      await load(0);
      out.querySelector(`[data-sort="${CSS.escape(title)}"]`)?.focus();
    };
    return h("th", { scope: "col", "aria-sort": sorted ? (down ? "descending" : "ascending") : null }, h("button", { type: "button", class: "link", "data-sort": title, onclick: sort }, title, sorted ? h("span", { "aria-hidden": "true" }, down ? " ↓" : " ↑") : null));
  }

  function cell(title, one) {
    const to = answer.links[title];
    if (!to || one === null) return shown(one);
    const query = { column: to.column, value: String(one), ...(to.schema === schema && state.as !== owner ? { as: state.as } : {}) };
    return h("a", { href: `#data/${encodeURIComponent(`${to.schema}.${to.table}`)}?${new URLSearchParams(query)}`, title: `${to.schema}.${to.table}` }, String(one));
  }

  async function copyRow(key) {
    try { await copy((await api("/data/row", { json: { service: state.as, ...of, key } })).insert, said); } catch (error) { said.replaceChildren(refusal(error)); }
  }

  async function edit(key) {
    const asked = { service: state.as, ...of, key };
    try {
      const row = await api("/data/row", { json: asked });
      editor(`${schema}.${name}`, row, async (values) => {
        await api("/data/row", { method: "PATCH", json: { ...asked, version: row.version, values, write: write.checked } });
        said.replaceChildren(h("p", { class: "good" }, t("row_saved")));
        await load(state.offset);
      });
    } catch (error) { said.replaceChildren(refusal(error)); }
  }
}

// Only what was changed is sent; the key and what PostgreSQL computes are shown.
function editor(title, row, save) {
  const said = h("div", { "aria-live": "polite" }), inputs = [];
  const control = ({ name, type, nullable, key, generated }) => {
    const value = row.values[name];
    if (key || generated) return h("p", { class: "small" }, h("span", { class: "muted" }, `${name} · `), h("span", { class: "mono break" }, value ?? "null"));
    const text = h(type.startsWith("json") || (value ?? "").length > 60 ? "textarea" : "input", { name, value: value ?? "", spellcheck: "false", autocomplete: "off" });
    const none = h("input", { type: "checkbox", checked: value === null }), before = text.value;
    text.addEventListener("input", () => { none.checked = false; });
    inputs.push(() => (none.checked ? (value === null ? null : [name, null]) : value === null || text.value !== before ? [name, text.value] : null));
    return h("div", {}, field(`${name} · ${type}`, text), nullable ? h("label", { class: "inline" }, none, "null", h("span", { class: "visually-hidden" }, name)) : null);
  };
  const submit = async (event) => {
    event.preventDefault();
    const values = Object.fromEntries(inputs.map((changed) => changed()).filter(Boolean));
    try {
      if (Object.keys(values).length) await save(values);
      box.close();
    } catch (error) {
      const word = { 412: "row_changed", 404: "row_gone" }[error.status];
      said.replaceChildren(word ? h("p", { class: "notice bad", role: "alert" }, t(word)) : refusal(error));
    }
  };
  const box = dialog(title, h("form", { id: "row", onsubmit: submit }, row.columns.map(control), said, h("p", { class: "row" }, h("button", { class: "primary" }, t("save")))));
}

// Ids, times and numbers, which are never broken in the middle.
const isShort = (value) => typeof value !== "object" && String(value).length <= 40;
