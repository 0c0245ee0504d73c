// One task in full: how it stands, what it is about, its attempts, message, rows and history.
import { api, h, loading, problem } from "./base.js";
import { timeline } from "./timeline.js";
import { t } from "./words.js";

export const standing = (task) => ({ failure: "bad", success: "good", pending: "warn" }[task.status] ?? "warn");

// Fills the panel with a task; `order` has an action done and then calls `again`.
export async function open(panel, id, order, close) {
  if (!panel.querySelector(`[data-detail="${id}"]`)) panel.replaceChildren(loading());
  try {
    const found = await api(`/tasks/${encodeURIComponent(id)}`);
    panel.replaceChildren(...about(found, id, order, close));
  } catch (error) { panel.replaceChildren(problem(error, () => open(panel, id, order, close)), h("button", { type: "button", onclick: close }, t("close"))); }
}

function about({ task, message, places, history, subject, timeline: attempts }, id, order, close) {
  const again = (event, action) => order(event.target, `/tasks/${id}/${action}`);
  const title = h("h2", { "data-detail": id, class: "break" }, task?.actor ?? t("task"), " ", task ? h("span", { class: `badge ${standing(task)}` }, t(task.status)) : null);
  return [
    h("div", { class: "row" }, title, h("span", { class: "right row" }, task && (task.open || task.failed_at_owner) ? h("button", { type: "button", onclick: (event) => again(event, "retry") }, t("retry_task")) : null,
      task?.quarantine ? h("button", { type: "button", onclick: (event) => again(event, "release") }, t("release")) : null, h("button", { type: "button", onclick: close }, t("close")))),
    h("dl", { class: "small ids" }, fact(t("task"), id), task?.owner ? fact(t("owner"), task.owner) : null, task?.subject ? fact(t("subject"), task.subject) : null, task?.trace ? fact(t("trace"), h("a", { href: `#requests/${task.trace}` }, task.trace)) : null,
      task ? fact(t("attempts"), `${task.attempts || "–"} · ${t("runs")} ${task.runs || "–"} · ${t("retries")} ${task.retries}`) : null),
    task?.error ? h("p", { class: "notice bad" }, task.error) : null,
    h("h3", {}, t("attempts")), attempts.rows.length ? timeline(attempts) : h("p", { class: "muted small" }, t("no_attempts")),
    h("h3", {}, t("message")), message ? json(message, t("message")) : h("p", { class: "muted small" }, t("no_message")),
    h("h3", {}, t("about")), subject.length ? subject.map((one) => [h("p", { class: "small mono" }, h("a", { href: `#data/${one.table}` }, one.table)), json(one.row, one.table)]) : h("p", { class: "muted small" }, t("no_subject")),
    h("h3", {}, t("kept_rows")), Object.entries(places).map(([name, row]) => h("details", {}, h("summary", { class: "mono small" }, name), json(row, name))),
    history.length ? [h("h3", {}, t("history")), h("ol", { class: "plain small mono" }, history.map((event) => h("li", {}, `${event.timestamp.replace("T", " ").slice(0, 23)}  ${event.event_type}`, event.event_data ? ` ${JSON.stringify(event.event_data)}` : "")))] : null,
  ].flat().filter(Boolean);
}

const fact = (label, value) => h("div", {}, h("dt", {}, label), h("dd", { class: "mono" }, value));
const json = (value, label) => h("pre", { class: "log", tabindex: "0", role: "region", "aria-label": label }, JSON.stringify(value, null, 2));
