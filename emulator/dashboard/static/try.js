// The app as its user sees it: photograph, watch, read, find a place, ask.
import { api, events, field, h, problem, s, say } from "./base.js";
import { current, kindOf, t } from "./words.js";

export function show(main) {
  const person = h("input", { value: localStorage.getItem("eco2-person") ?? "jun", autocomplete: "off" });
  person.addEventListener("change", () => { localStorage.setItem("eco2-person", person.value); token = null; });
  let token = null;
  async function call(path, options = {}) {
    token ??= (await api("/token", { json: { person: person.value } })).access_token;
    const headers = { Authorization: `Bearer ${token}`, ...(options.json === undefined ? {} : { "Content-Type": "application/json" }) };
    const answer = await fetch(`/api/v1${path}`, { method: options.method ?? (options.json === undefined ? "GET" : "POST"), headers, body: options.json === undefined ? undefined : JSON.stringify(options.json), signal: options.signal });
    if (!answer.ok) { const said = await answer.json().catch(() => ({})); throw new Error(said.detail ?? `${answer.status}`); }
    return options.raw ? answer : answer.status === 204 ? null : answer.json();
  }
  const ending = new AbortController();
  main.append(h("div", { class: "two" },
    h("div", {}, h("div", { class: "panel" }, field(t("you_are"), person)), photo(call, ending.signal)), h("div", {}, near(), chat(call, ending.signal))));
  return () => ending.abort();
}

function photo(call, signal) {
  const picture = h("div"), stage = h("p", { class: "muted", "aria-live": "polite" }), bar = h("progress", { max: "1", value: 0, hidden: true, "aria-label": t("photo") }), out = h("div", { id: "answer" });
  const input = h("input", { type: "file", accept: "image/jpeg,image/png,image/webp", capture: "environment", class: "visually-hidden", id: "photo" });
  input.addEventListener("change", () => { if (input.files[0]) analyse(input.files[0]); });
  async function analyse(file) {
    out.replaceChildren();
    picture.replaceChildren(h("img", { class: "photo", alt: t("photo"), src: URL.createObjectURL(file) }));
    bar.hidden = false;
    bar.value = 0.05;
    stage.textContent = t("uploading");
    try {
      if (!["image/jpeg", "image/png", "image/webp"].includes(file.type)) throw new Error(t("pick_photo_first"));
      const upload = await call("/waste/uploads", { json: { content_type: file.type, size_bytes: file.size } });
      const form = new FormData();
      for (const [name, value] of Object.entries(upload.fields)) form.append(name, value);
      form.append("file", file);
      const stored = await fetch(upload.url, { method: "POST", body: form });
      if (!stored.ok) throw new Error(`${stored.status} ${(await stored.text()).slice(0, 200)}`);
      const analysis = await call("/waste/analyses", { json: { image_key: upload.image_key } });
      // The answer's guide is in Korean; the catalogue has the same steps in English.
      const english = current() === "en" ? await fetch("/api/v1/recycle/categories").then((found) => (found.ok ? found.json() : [])).catch(() => []) : [];
      let latest = null;
      const tell = (data) => { latest = data; bar.value = 1; stage.textContent = ""; out.replaceChildren(...answer(data, english, choose)); say(out.textContent.slice(0, 120)); };
      // The person's own word where the photo leaves it open: the guide follows it.
      const choose = async (kind) => { try { tell(await call(`/waste/analyses/${analysis.id}`, { method: "PATCH", json: { waste_type: kind } })); } catch (error) { out.append(problem(error)); } };
      await events(await call(`/waste/analyses/${analysis.id}/events`, { raw: true, signal }), (name, data) => {
        if (name === "progress") { stage.textContent = t(data.stage); bar.value = data.progress; } else tell(data);
      });
      bar.hidden = true;
      // A guide that could not be read at once is filled in by the service: look again for a while.
      for (let look = 0; look < 40 && latest?.analysis_result?.guide?.state === "missing" && !signal.aborted && out.isConnected; look++) {
        await new Promise((resolve) => setTimeout(resolve, 3000));
        tell(await call(`/waste/analyses/${analysis.id}`, { signal }));
      }
    } catch (error) { if (error.name !== "AbortError") { out.replaceChildren(problem(error)); stage.textContent = ""; } }
    bar.hidden = true;
    input.value = "";
  }
  return h("div", { class: "panel" }, h("label", { class: "drop", for: "photo" }, input, t("choose_photo")), picture, stage, bar, out);
}

// A share as a person would say it.
const certainty = (share) => t(share >= 0.8 ? "certain" : share >= 0.5 ? "likely" : "guess");

function answer(analysis, english, choose) {
  if (analysis.status === "failure") return [h("div", { class: "notice bad", role: "alert" }, analysis.error)];
  const { guide, candidates, model, item, ask } = analysis.analysis_result, kind = analysis.corrected_type ?? analysis.waste_type;
  // The catalogue's English is about the kind; a thing's own guide is in Korean alone.
  const category = item && !analysis.corrected_type ? null : english.find?.((one) => one.category === kind);
  const lines = (own, other) => (own.length && other ? other.split("\n").filter(Boolean) : own);
  const list = (title, all) => (all.length ? [h("h3", {}, title), h("ul", {}, all.map((line) => h("li", {}, line)))] : []);
  const options = ask && !analysis.corrected_type ? h("div", { class: "notice", id: "ask" }, h("p", { lang: "ko" }, ask.question), h("p", { class: "row" }, ask.options.map((one) => h("button", { type: "button", "data-kind": one, onclick: (event) => { event.target.disabled = true; choose(one); } }, kindOf(one))))) : null;
  return [h("p", { class: "answer" }, kind === "unknown" ? t("not_sure") : item && !analysis.corrected_type ? `${item.name} · ${kindOf(kind)}` : kindOf(kind)),
    analysis.corrected_type ? h("p", { id: "certainty" }, t("you_said")) : kind === "unknown" ? null : h("p", { id: "certainty" }, certainty(analysis.confidence ?? 0)), options,
    h("p", { class: "muted small" }, `${t("confidence")}: `, candidates.slice(0, 3).map((c) => `${kindOf(c.waste_type)} ${Math.round(c.confidence * 100)} %`).join(" · "), ` · ${model}`),
    ...list(t("steps"), lines(guide.steps, category?.how_to_recycle_en)), ...list(t("do_not"), lines(guide.do_not, category?.do_not_do_en)), guide.state === "missing" ? h("p", { class: "muted" }, t("guide_missing")) : null,
    kind === "unknown" ? null : nearest(kind)].filter(Boolean);
}

// The nearest place that takes it, from where the form beside it says the person is.
function nearest(kind) {
  const box = h("div", { id: "nearest" });
  const at = (name) => document.querySelector(`input[name="${name}"]`)?.value ?? "";
  fetch(`/api/v1/locations/centers?lat=${at("latitude")}&lon=${at("longitude")}&radius_m=50000&limit=1&item=${kind}`).then(async (answer) => {
    const [center] = answer.ok ? (await answer.json()).items : [];
    box.replaceChildren(h("h3", {}, t("takes_it")), center ? h("p", {}, h("strong", {}, center.name), ` ${Math.round(center.distance_m)} ${t("meters")} `, h("span", { class: "muted" }, center.address)) : h("p", { class: "muted" }, t("no_taker")));
  }).catch(() => {});
  return box;
}

function near() {
  const latitude = h("input", { name: "latitude", type: "number", step: "any", value: "37.5665", min: "-90", max: "90" }), longitude = h("input", { name: "longitude", type: "number", step: "any", value: "126.978", min: "-180", max: "180" }), out = h("div", { "aria-live": "polite" });
  return h("form", { class: "panel", onsubmit: async (event) => {
    event.preventDefault();
    try {
      const answer = await fetch(`/api/v1/locations/centers?lat=${latitude.value}&lon=${longitude.value}&radius_m=50000&limit=12`), body = await answer.json();
      if (!answer.ok) throw new Error(body.detail);
      out.replaceChildren(...(body.items.length ? [drawn(Number(latitude.value), Number(longitude.value), body.items), h("p", { class: "small muted" }, `${t("outer_ring")}: ${(Math.max(...body.items.map((c) => c.distance_m)) / 1000).toFixed(1)} km`), h("ol", { class: "small" }, body.items.map((c) => h("li", {}, h("strong", {}, c.name), ` ${Math.round(c.distance_m)} ${t("meters")} `, h("span", { class: "muted" }, c.address))))] : [h("p", { class: "empty" }, t("no_centers"))]));
    } catch (error) { out.replaceChildren(problem(error)); }
  } }, h("h2", {}, t("near")), h("div", { class: "row" }, h("div", { class: "grow" }, field(t("latitude"), latitude)), h("div", { class: "grow" }, field(t("longitude"), longitude))), h("button", { id: "near" }, t("show_near")), out);
}

// North up, distances true near the middle; no tiles, so no network.
function drawn(lat, lon, centers) {
  const squeeze = Math.cos((lat * Math.PI) / 180);
  const points = centers.map((c) => [(c.longitude - lon) * squeeze, lat - c.latitude]);
  const reach = Math.max(0.002, ...points.map(([x, y]) => Math.hypot(x, y)));
  const place = ([x, y]) => [150 + (x / reach) * 130, 150 + (y / reach) * 130];
  const rings = [43, 87, 130].map((r) => s("circle", { class: "wire", cx: 150, cy: 150, r }));
  const dots = points.map((point, i) => { const [x, y] = place(point); return s("g", {}, s("circle", { class: "pulse-still", cx: x, cy: y, r: 9 }), s("text", { class: "dot-text", x, y: y + 4, "text-anchor": "middle" }, i + 1)); });
  return s("svg", { class: "map places", viewBox: "0 0 300 300", role: "img", "aria-label": t("near") }, rings, s("circle", { class: "lamp ready", cx: 150, cy: 150, r: 5 }), dots.reverse());
}

function chat(call, signal) {
  const talk = h("div", { class: "talk", role: "log", tabindex: "0", "aria-label": t("chat") }), input = h("input", { value: t("ask_example"), lang: current(), required: true, maxlength: "4000" });
  let conversation = null;
  return h("form", { class: "panel", onsubmit: async (event) => {
    event.preventDefault();
    const content = input.value.trim();
    if (!content) return;
    input.value = "";
    const bubble = h("p", { class: "it" }, "…");
    talk.append(h("p", { class: "me" }, content), bubble);
    try {
      conversation ??= (await call("/chat/conversations", { json: {} })).id;
      const { reply } = await call(`/chat/conversations/${conversation}/messages`, { json: { content } });
      let text = "";
      await events(await call(`/chat/conversations/${conversation}/messages/${reply.id}/events`, { raw: true, signal }), (name, data) => {
        if (name === "restart") text = "";
        else if (name === "token") text += data.text;
        else if (name === "done") text = data.content;
        else if (name === "failed") text = `⚠ ${data.content || t("failed")}`;
        bubble.textContent = text || "…";
        if (name === "done") bubble.classList.add("done");
        talk.scrollTop = talk.scrollHeight;
      });
    } catch (error) { if (error.name !== "AbortError") bubble.replaceWith(problem(error)); }
  } }, h("h2", {}, t("chat")), talk, h("div", { class: "row end" }, h("div", { class: "grow" }, field(t("question"), input)), h("button", { class: "primary" }, t("send"))));
}
