// Tasks with the stages that each has reached, failures first, and what waits in the journals over time.
import { api, clockTime, field, h, loading, problem, s, say, table } from "./base.js";
import { t } from "./words.js";

const STAGES = ["accepted", "published", "journalled", "done", "returned", "synced"];
const COLOURS = ["var(--accent)", "var(--warn)"];

export function show(main, wanted) {
  const bar = h("div", { class: "panel" }), charts = h("div", { class: "panel" }), list = h("div", { "data-words": true, class: "panel" }, loading()), said = h("div", { "aria-live": "polite" });
  main.append(bar, said, list, charts);
  const status = h("select", { name: "status" }, ["", "failure", "pending", "success"].map((value) => h("option", { value }, t(value || "all"))));
  const service = h("input", { name: "service", autocomplete: "off", placeholder: "ai" }), name = h("input", { name: "function", autocomplete: "off", placeholder: "classify_photo" });
  const text = h("input", { type: "search", id: "filter", value: wanted, autocomplete: "off" }), filters = [status, service, name, text];
  bar.replaceChildren(h("div", { class: "row end" }, field(t("status"), status), field(t("service"), service), field(t("function"), name), h("div", { class: "grow" }, field(t("task_text"), text))),
    h("p", { class: "row above" }, ["storage", "ai"].map((worker) => h("button", { type: "button", "data-sync": worker, onclick: (event) => order(event.target, `/sync/${worker}`) }, `${t("sync_now")}: ${worker}`))));
  let stopped = false, timer = 0, limit = 60, turn = 0;
  for (const one of filters) one.addEventListener("input", () => { limit = 60; refresh(true); });
  async function order(button, path) {
    button.disabled = true;
    try { const answer = await api(path, { method: "POST" }); said.replaceChildren(answer.said ? h("pre", { class: answer.ok ? "notice good" : "notice bad" }, answer.said.slice(-600)) : ""); say(answer.said.slice(-100)); } catch (error) { said.replaceChildren(problem(error)); }
    button.disabled = false;
    refresh();
  }
  async function refresh(asked = false) {
    clearTimeout(timer);
    const now = ++turn;
    try {
      const query = new URLSearchParams({ limit, status: status.value, service: service.value.trim(), function: name.value.trim(), q: text.value.trim() });
      const [tasks, history] = await Promise.all([api(`/tasks?${query}`), api("/backlog")]);
      if (stopped || now !== turn) return;
      // What has the focus stays, unless the person has asked for something else.
      if (asked || !list.contains(document.activeElement) || !["BUTTON", "A"].includes(document.activeElement.tagName)) {
        const more = limit < 500 && ["failure", "pending", "success"].some((one) => tasks.filter((task) => task.status === one).length >= limit);
        list.replaceChildren(tasks.length ? table([t("task"), t("stage"), t("status"), t("error"), ""], tasks, (task) => row(task, order)) : h("p", { class: "empty" }, t(filters.some((one) => one.value.trim()) ? "no_such_tasks" : "no_tasks")),
          more ? h("button", { type: "button", onclick: () => { limit = Math.min(500, limit * 3); refresh(true); } }, t("more")) : "");
      }
      charts.replaceChildren(h("h2", {}, t("waiting")), chart(history, "journal"), h("h2", {}, t("age")), chart(history, "age"));
    } catch (error) { if (!stopped && now === turn) list.replaceChildren(problem(error, () => refresh(true))); }
    if (!stopped && now === turn) timer = setTimeout(refresh, 1500);
  }
  refresh();
  return () => { stopped = true; clearTimeout(timer); };
}

function row(task, order) {
  const reached = STAGES.filter((stage) => task.stages[stage]);
  const last = t(reached.at(-1) ?? "accepted"), failed = task.status === "failure", began = task.accepted ?? task.journalled;
  const stages = h("div", { class: "stages", role: "img", "aria-label": last }, STAGES.map((stage) => h("i", { class: task.stages[stage] ? (failed && stage === "done" ? "on failed" : "on") : null, title: t(stage) })));
  return h("tr", { "data-task": task.id }, h("td", {}, h("strong", {}, task.actor), " ", h("span", { class: "muted small" }, began ? clockTime(Date.parse(began) / 1000) : ""), h("br"), h("span", { class: "muted mono small" }, task.id),
    task.trace ? [h("br"), h("a", { class: "small", href: `#requests/${task.trace}` }, t("its_request"))] : null), h("td", {}, stages, h("span", { class: "small muted" }, last)),
    h("td", {}, h("span", { class: `badge ${failed ? "bad" : task.status === "success" ? "good" : "warn"}`, "data-status": task.status }, t(task.status))),
    h("td", { class: "small" }, task.quarantine ? `${t("quarantine")}: ${task.quarantine}` : task.error ?? ""),
    h("td", {}, task.open || task.failed_at_owner ? h("button", { type: "button", onclick: (event) => order(event.target, `/tasks/${task.id}/retry`) }, t("retry_task")) : null,
      task.quarantine ? h("button", { type: "button", onclick: (event) => order(event.target, `/tasks/${task.id}/release`) }, t("release")) : null));
}

function chart(history, what) {
  const names = [...new Set(history.flatMap((at) => Object.keys(at[what])))];
  const most = Math.max(1, ...history.flatMap((at) => Object.values(at[what])));
  const span = Math.max(history.length - 1, 1);
  const line = (name) => history.map((at, i) => `${i ? "L" : "M"}${(30 + (i / span) * 560).toFixed(1)} ${(104 - ((at[what][name] ?? 0) / most) * 90).toFixed(1)}`).join(" ");
  const last = history.at(-1)?.[what] ?? {};
  const curves = names.map((name, i) => { const curve = s("path", { class: "curve", d: line(name) || "M0 0" }); curve.style.stroke = COLOURS[i % 2]; return curve; });
  return h("figure", { class: "figure" }, s("svg", { class: "chart", viewBox: "0 0 600 120", preserveAspectRatio: "none", role: "img", "aria-label": names.map((name) => `${name} ${Math.round(last[name] ?? 0)}`).join(", ") },
    s("line", { class: "axis", x1: 30, y1: 104, x2: 590, y2: 104 }), curves), h("figcaption", { class: "small muted" }, names.map((name, i) => { const swatch = h("span", { class: "swatch" }); swatch.style.background = COLOURS[i % 2]; return [swatch, `${name}: ${Math.round(last[name] ?? 0)}`]; }), ` · max ${Math.round(most)}`));
}
