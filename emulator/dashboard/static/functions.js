// The catalogue, and a form made from each function's OpenAPI operation.
import { api, field, h, keepAddress, loading, ms, pretty, problem, seen, statusClass } from "./base.js";
import { timeline } from "./timeline.js";
import { t } from "./words.js";

export function show(main, wanted, { q = "" }) {
  const list = h("div", { class: "panel side" }, loading()), detail = h("div", { class: "panel" }, h("p", { class: "empty" }, t("pick_function")));
  main.append(h("div", { class: "split" }, list, detail));
  load();
  async function load() {
    try {
      const functions = await api("/functions");
      const filter = h("input", { type: "search", id: "filter", value: q, oninput: () => { keepAddress("functions", wanted, { q: filter.value }); draw(); } });
      const found = h("div");
      list.replaceChildren(field(t("filter"), filter), found);
      function draw() {
        const words = filter.value.toLowerCase();
        const shown = functions.filter((f) => `${f.service}/${f.name} ${f.where}`.toLowerCase().includes(words));
        const services = [...new Set(shown.map((f) => f.service))];
        found.replaceChildren(...services.map((service) => h("section", {}, h("h3", {}, service), h("ul", { class: "list" },
          shown.filter((f) => f.service === service).map((f) => h("li", {}, h("button", { type: "button", "data-item": true, "data-function": `${f.service}/${f.name}`, "aria-pressed": `${f.service}/${f.name}` === wanted ? "true" : null, onclick: (event) => {
            for (const other of list.querySelectorAll("[aria-pressed]")) other.removeAttribute("aria-pressed");
            event.currentTarget.setAttribute("aria-pressed", "true");
            seen(list, event.currentTarget);
            wanted = `${f.service}/${f.name}`;
            keepAddress("functions", wanted, { q: filter.value });
            open(detail, f);
            if (innerWidth <= 760) detail.scrollIntoView();
          } }, h("strong", {}, f.name), h("br"), h("span", { class: "method" }, f.where.split(" ")[0]), " ", h("span", { class: "muted small mono" }, route(f).replace("/api/v1", "")))))))));
      }
      draw();
      if (wanted) list.querySelector(`[data-function="${CSS.escape(wanted)}"]`)?.click();
    } catch (error) { list.replaceChildren(problem(error, load)); }
  }
}

const route = (f) => (f.path ?? f.where.split(" ").slice(1).join(" "));

// A value that fits a JSON schema.
export function example(schema, name = "") {
  if (!schema) return null;
  if (schema.example !== undefined) return schema.example;
  if (schema.examples?.length) return schema.examples[0]?.value ?? schema.examples[0];
  if (schema.default !== undefined) return schema.default;
  if (schema.const !== undefined) return schema.const;
  if (schema.enum) return schema.enum[0];
  const choice = schema.oneOf ?? schema.anyOf;
  if (choice) return example(choice.find((one) => one.type !== "null") ?? choice[0], name);
  if (schema.type === "object" || schema.properties) {
    const required = schema.required ?? Object.keys(schema.properties ?? {});
    return Object.fromEntries(Object.entries(schema.properties ?? {}).filter(([key]) => required.includes(key)).map(([key, inner]) => [key, example(inner, key)]));
  }
  if (schema.type === "array") return [];
  if (schema.type === "integer" || schema.type === "number") return schema.minimum ?? 1;
  if (schema.type === "boolean") return true;
  if (schema.format === "uuid") return "01a20000-0000-7000-8000-000000000000";
  return { username: "mina", email: "mina@example.com", password: "correct horse", q: "페트병", content: "페트병은 어떻게 버려요?" }[name] ?? (schema.minLength > 4 ? "example text" : "text");
}

function limits({ replicas, cpu, memory, threads, connections }) {
  const each = [`CPU ${cpu}`, memory, threads > 1 ? `${t("threads")} ${threads}` : null, `${t("connections")} ${connections}`];
  return `${replicas} × (${each.filter(Boolean).join(", ")})`;
}

function open(detail, f) {
  const facts = [[t("trigger"), f.path ? `${f.method} ${f.path}` : f.where], [t("role"), `${f.role} (${f.schema})`], [t("file"), f.file], [t("limits"), limits(f.limits)]];
  const head = [h("h2", {}, `${f.service}/${f.name}`), f.operation?.summary ? h("p", {}, f.operation.summary) : null,
    h("dl", { class: "facts small" }, facts.map(([label, value]) => h("div", {}, h("dt", {}, label), h("dd", { class: "mono" }, value))))];
  if (f.trigger === "queue") { detail.replaceChildren(...head.filter(Boolean), messageForm(f)); return; }
  if (f.trigger !== "http" || !f.operation) { detail.replaceChildren(...head.filter(Boolean), h("p", { class: "muted" }, t("not_http"))); return; }
  const parameters = (f.operation.parameters ?? []).filter((p) => ["path", "query"].includes(p.in) || p.name === "Idempotency-Key");
  const inputs = parameters.map((p) => ({ p, input: h("input", { name: p.name, required: p.required || p.in === "path" || null, value: p.required || p.in === "path" ? example(p.schema, p.name) ?? "" : "", autocomplete: "off" }) }));
  const schema = Object.values(f.operation.requestBody?.content ?? {})[0]?.schema;
  const body = schema ? h("textarea", { name: "body", spellcheck: "false", value: JSON.stringify(example(schema), null, 2) }) : null;
  const person = h("input", { name: "person", value: f.operation.security ? localStorage.getItem("eco2-person") ?? "jun" : "", autocomplete: "off" });
  const out = h("div", { "aria-live": "polite" }), button = h("button", { class: "primary" }, t("call"));
  const form = h("form", { id: "call", onsubmit: async (event) => {
    event.preventDefault();
    let json = null;
    try { json = body ? JSON.parse(body.value) : null; } catch (error) { out.replaceChildren(problem(new Error(`${t("bad_json")}: ${error.message}`))); return; }
    let path = f.path;
    const query = {}, headers = {};
    for (const { p, input } of inputs) {
      if (p.in === "path") path = path.replace(`{${p.name}}`, encodeURIComponent(input.value));
      else if (input.value !== "") (p.in === "query" ? query : headers)[p.name] = input.value;
    }
    if (person.value) localStorage.setItem("eco2-person", person.value);
    button.disabled = true;
    out.replaceChildren(loading());
    try { out.replaceChildren(...result(await api("/call", { json: { method: f.method, path, body: json, query, headers, person: person.value } }))); } catch (error) { out.replaceChildren(problem(error)); }
    button.disabled = false;
  } }, field(t("as_user"), person), inputs.map(({ p, input }) => field(`${p.name}${p.required ? " *" : ""} ${p.description ? `– ${p.description}` : ""}`, input)),
    body ? field(t("body"), body) : null, button);
  detail.replaceChildren(...head.filter(Boolean), form, out);
}

// A queue function is called by a message: a row of an owner's outbox, as its own functions would insert one.
function messageForm(f) {
  const box = h("div", {}, loading());
  (async () => {
    try {
      const { schema, about, owners } = await api(`/messages/${f.service}/${f.name}`);
      const body = h("textarea", { name: "message", spellcheck: "false", value: JSON.stringify(whole(schema), null, 2) }), owner = h("select", { name: "owner" }, owners.map((name) => h("option", { value: name }, name)));
      const out = h("div", { "aria-live": "polite" }), button = h("button", { class: "primary" }, t("send_message"));
      box.replaceChildren(h("p", {}, about), h("form", { id: "message", onsubmit: async (event) => {
        event.preventDefault();
        button.disabled = true;
        try {
          const sent = await api("/messages", { json: { function: `${f.service}/${f.name}`, message: JSON.parse(body.value), owner: owner.value } });
          out.replaceChildren(h("p", { class: "good" }, `${t("accepted")}: `, h("a", { href: `#tasks/${sent.id}` }, sent.id)));
        } catch (error) { out.replaceChildren(problem(error)); }
        button.disabled = false;
      } }, field(t("owner"), owner), field(t("message"), body), button), out);
    } catch (error) { box.replaceChildren(h("p", { class: "muted" }, error.message)); }
  })();
  return box;
}

// Each field of a message, also those that have a default: they are few, and show what can be said.
const whole = (schema) => Object.fromEntries(Object.entries(schema.properties ?? {}).map(([key, inner]) => [key, example(inner, key)]));

export function result(answer) {
  return [h("h3", {}, t("answer")), h("p", {}, h("span", { class: `badge ${statusClass(answer.status)}`, id: "status" }, answer.status), ` ${ms(answer.ms)} `, h("span", { class: "muted small mono" }, answer.headers["content-type"] ?? "")),
    h("pre", { class: "log", tabindex: "0" }, pretty(answer.body) || "–"), h("h3", {}, t("did")), timeline(answer.timeline)];
}
