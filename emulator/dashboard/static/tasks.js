// Tasks with the stages that each has reached, failures first, and what waits in the journals over time. `#tasks/ID` opens one.
import { api, clockTime, field, h, keepAddress, loading, problem, s, say, table } from "./base.js";
import { open, standing } from "./task.js";
import { t } from "./words.js";

const STAGES = ["accepted", "published", "journalled", "done", "returned", "synced"];
const COLOURS = ["var(--accent)", "var(--warn)", "var(--focus)", "var(--bad)", "var(--muted)"];
const WITHIN = { "": "always", 600: "minutes_10", 3600: "hour", 86400: "day" };

export function show(main, wanted, filters) {
  const bar = h("div", { class: "panel" }, loading()), charts = h("div", { class: "panel" }), list = h("div", { "data-words": true, class: "panel" }, loading()), said = h("div", { "aria-live": "polite" }), detail = h("div", { class: "panel break", hidden: true });
  main.append(bar, said, detail, list, charts);
  const choice = (name, values) => h("select", { name }, Object.entries(values).map(([value, text]) => h("option", { value, selected: (filters[name] ?? "") === value || null }, text)));
  const status = choice("status", Object.fromEntries(["", "failure", "pending", "success"].map((value) => [value, t(value || "all")])));
  const service = h("input", { name: "service", autocomplete: "off", placeholder: "ai", value: filters.service ?? "" }), name = h("input", { name: "function", autocomplete: "off", placeholder: "classify_photo", value: filters.function ?? "" });
  const seconds = choice("seconds", Object.fromEntries(["", "600", "3600", "86400"].map((value) => [value, t(WITHIN[value])])));
  const text = h("input", { type: "search", id: "filter", value: filters.q ?? "", autocomplete: "off" }), all = [status, service, name, seconds, text];
  const values = () => ({ status: status.value, service: service.value.trim(), function: name.value.trim(), seconds: seconds.value, q: text.value.trim() });
  const again = h("button", { type: "button", id: "retry-all", onclick: () => retryAll() }, t("retry_all"));
  bar.replaceChildren(h("div", { class: "row end" }, field(t("status"), status), field(t("service"), service), field(t("function"), name), field(t("within"), seconds), h("div", { class: "grow" }, field(t("task_text"), text))),
    h("p", { class: "row above" }, again, ["storage", "ai"].map((worker) => h("button", { type: "button", "data-sync": worker, onclick: (event) => order(event.target, `/sync/${worker}`) }, `${t("sync_now")}: ${worker}`))));
  let stopped = false, timer = 0, limit = 60, turn = 0, chosen = wanted, failures = 0;
  const keep = () => keepAddress("tasks", chosen, values());
  for (const one of all) one.addEventListener("input", () => { limit = 60; keep(); refresh(true); });
  async function order(button, path, json) {
    button.disabled = true;
    try { const answer = await api(path, { method: "POST", json }); said.replaceChildren(answer.said ? h("pre", { class: answer.ok ? "notice good" : "notice bad" }, answer.said.slice(-600)) : ""); say(answer.said.slice(-100)); } catch (error) { said.replaceChildren(problem(error)); }
    button.disabled = false;
    if (chosen) choose(chosen);
    refresh();
  }
  function retryAll() {
    const { service: of, function: named, q } = values(), what = [of, named, q].filter(Boolean).join(" · ") || t("all");
    if (confirm(`${t("retry_all_sure")} ${what} (${failures})`)) order(again, "/tasks/retry", { service: of, function: named, q });
  }
  function choose(id) {
    chosen = id;
    detail.hidden = !id;
    keep();
    for (const button of list.querySelectorAll("[data-open]")) button.setAttribute("aria-pressed", button.dataset.open === chosen);
    if (id) open(detail, id, order, () => choose(""));
  }
  async function refresh(asked = false) {
    clearTimeout(timer);
    const now = ++turn;
    try {
      const query = new URLSearchParams(Object.entries({ ...values(), limit }).filter(([, value]) => value));
      const [tasks, history] = await Promise.all([api(`/tasks?${query}`), api("/backlog")]);
      if (stopped || now !== turn) return;
      failures = tasks.filter((task) => task.status === "failure").length;
      again.disabled = !failures;
      // What has the focus stays, unless the person has asked for something else.
      if (asked || !list.contains(document.activeElement) || !["BUTTON", "A"].includes(document.activeElement.tagName)) {
        const more = limit < 500 && ["failure", "pending", "success"].some((one) => tasks.filter((task) => task.status === one).length >= limit);
        list.replaceChildren(tasks.length ? table([t("status"), t("task"), t("time"), t("stage"), t("error"), ""], tasks, (task) => row(task, chosen, choose, order)) : h("p", { class: "empty" }, t(all.some((one) => one.value.trim()) ? "no_such_tasks" : "no_tasks")),
          more ? h("button", { type: "button", onclick: () => { limit = Math.min(500, limit * 3); refresh(true); } }, t("more")) : "");
      }
      charts.replaceChildren(h("h2", {}, t("journal_rows")), chart(history, "journal"), h("h2", {}, t("age")), chart(history, "age"));
    } catch (error) { if (!stopped && now === turn) list.replaceChildren(problem(error, () => refresh(true))); }
    if (!stopped && now === turn) timer = setTimeout(refresh, 1500);
  }
  refresh();
  if (wanted) choose(wanted);
  return () => { stopped = true; clearTimeout(timer); };
}

function row(task, chosen, choose, order) {
  const reached = STAGES.filter((stage) => task.stages[stage]);
  const last = t(reached.at(-1) ?? "accepted"), failed = task.status === "failure", began = task.accepted ?? task.journalled;
  const stages = h("div", { class: "stages", role: "img", "aria-label": last }, STAGES.map((stage) => h("i", { class: task.stages[stage] ? (failed && stage === "done" ? "on failed" : "on") : null, title: t(stage) })));
  const action = (path, label) => h("button", { type: "button", onclick: (event) => order(event.target, `/tasks/${task.id}/${path}`) }, label);
  return h("tr", { "data-task": task.id }, h("td", { class: "keep" }, h("span", { class: `badge ${standing(task)}`, "data-status": task.status }, t(task.status))),
    h("td", { class: "keep names" }, h("button", { type: "button", class: "link", "data-item": true, "data-open": task.id, "aria-pressed": task.id === chosen ? "true" : "false", title: task.id, onclick: () => choose(task.id) }, task.actor || "?", " ", h("span", { class: "muted mono small" }, `…${task.id.slice(-8)}`))),
    h("td", { class: "keep muted small" }, began ? clockTime(Date.parse(began) / 1000) : ""), h("td", { class: "keep" }, h("span", { class: "stage" }, stages, h("span", { class: "small muted" }, last))),
    h("td", { class: "small said" }, task.quarantine ? `${t("quarantine")}: ${task.quarantine}` : task.error ?? ""),
    h("td", { class: "keep" }, task.open || task.failed_at_owner ? action("retry", t("retry_task")) : null, task.quarantine ? action("release", t("release")) : null,
      task.trace ? h("a", { class: "small", href: `#requests/${task.trace}` }, t("its_request")) : null));
}

function chart(history, what) {
  const names = [...new Set(history.flatMap((at) => Object.keys(at[what])))];
  const most = Math.max(1, ...history.flatMap((at) => Object.values(at[what])));
  const span = Math.max(history.length - 1, 1);
  const line = (name) => history.map((at, i) => `${i ? "L" : "M"}${(30 + (i / span) * 560).toFixed(1)} ${(104 - ((at[what][name] ?? 0) / most) * 90).toFixed(1)}`).join(" ");
  const last = history.at(-1)?.[what] ?? {};
  const curves = names.map((name, i) => { const curve = s("path", { class: "curve", d: line(name) || "M0 0" }); curve.style.stroke = COLOURS[i % COLOURS.length]; return curve; });
  return h("figure", { class: "figure" }, s("svg", { class: "chart", viewBox: "0 0 600 120", preserveAspectRatio: "none", role: "img", "aria-label": names.map((name) => `${name} ${Math.round(last[name] ?? 0)}`).join(", ") || t("nothing_did") },
    s("line", { class: "axis", x1: 30, y1: 104, x2: 590, y2: 104 }), curves), h("figcaption", { class: "small muted" }, names.map((name, i) => { const swatch = h("span", { class: "swatch" }); swatch.style.background = COLOURS[i % COLOURS.length]; return [swatch, `${name}: ${Math.round(last[name] ?? 0)}`]; }), ` · max ${Math.round(most)}`));
}
