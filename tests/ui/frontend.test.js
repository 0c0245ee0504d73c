// The code of docs/FRONTEND.md as one module, on a running system (ECO2_UI_GATEWAY; `make test-ui` starts one): in Node.js, and in
// Chromium from a page on another origin.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import { after, before, test } from "node:test";
import { chromium } from "playwright-core";

const GATEWAY = process.env.ECO2_UI_GATEWAY;
const PHOTO = readFileSync(process.env.ECO2_UI_PHOTO);
const PATIENCE = 90_000;
const PASSWORD = "Lantern-Orchid-71";
const run = Date.now().toString(36);

const text = readFileSync(new URL("../../docs/FRONTEND.md", import.meta.url), "utf8");
const code = [...text.matchAll(/^```js\n(.*?)^```$/gms)].map((block) => block[1]).join("\n");
const names = [...code.matchAll(/^(?:async )?(?:function\*?|class) (\w+)/gm)].map((found) => found[1]);
// As the page has it, but for the address; `spoil` stands for fifteen minutes that have passed.
const MODULE = `${code.replace("http://127.0.0.1:8000", GATEWAY)}
const spoil = () => { tokens.access_token = "expired"; };
export { spoil, ${names.join(", ")} };`;

let client, browser, server, page;

before(async () => {
  assert.ok(code.includes("http://127.0.0.1:8000"), "the page names the gateway's usual address");
  client = await import(`data:text/javascript,${encodeURIComponent(MODULE)}`);
  server = createServer((request, response) => {
    const script = request.url === "/frontend.js";
    response.setHeader("Content-Type", script ? "text/javascript" : "text/html; charset=utf-8");
    response.end(script ? MODULE : '<!doctype html><title>app</title><link rel="icon" href="data:,"><input type="file">');
  }).listen(0, "127.0.0.1");
  browser = await chromium.launch({
    executablePath: process.env.ECO2_UI_CHROMIUM ?? "/usr/bin/chromium", timeout: PATIENCE,
    args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"],
  });
  page = await browser.newPage();
  page.setDefaultTimeout(PATIENCE);
});
after(async () => { await browser?.close(); server?.close(); });

const photo = () => new Blob([PHOTO], { type: "image/png" });

async function person(name) {
  const user = { name: `${name}-${run}`, email: `${name}-${run}@example.com` };
  await client.register(user.name, user.email, PASSWORD);
  return user;
}

const eco2 = (...words) => execFileSync(".venv/bin/eco2", [...words, "--state", process.env.ECO2_UI_STATE]);

function newestLetter(to, wanted) {
  return JSON.parse(eco2("mail", "--json", "--to", to)).find((letter) => letter.subject.includes(wanted));
}

test("an error says what is wrong, field by field, and whom to ask", async () => {
  await assert.rejects(client.register("x", "no address", PASSWORD), (error) => {
    assert.equal(error.status, 400);
    assert.match(Object.keys(error.fields).join(), /^(username|email)/);
    assert.ok(error.requestId);
    return true;
  });
  await assert.rejects(client.login(`nobody-${run}`, PASSWORD), { status: 401, type: "urn:eco2:auth:invalid-credentials" });
});

test("parallel requests with an expired token refresh it once", async () => {
  const user = await person("refresh");
  await client.login(user.name, PASSWORD);
  client.spoil();
  const fetched = globalThis.fetch;
  const refreshes = [];
  globalThis.fetch = (address, options) => {
    if (String(address).endsWith("/auth/refresh")) refreshes.push(address);
    return fetched(address, options);
  };
  try {
    const answers = await Promise.all(Array.from({ length: 10 }, () => client.call("/auth/me")));
    assert.deepEqual([...new Set(answers.map((answer) => answer.status))], [200]);
  } finally {
    globalThis.fetch = fetched;
  }
  assert.equal(refreshes.length, 1);
});

test("a request is repeated after Retry-After, and only where that helps", async () => {
  const answers = [new client.ApiError(503, {}, new Headers({ "Retry-After": "1" })), null];
  assert.equal(await client.patiently(async () => { const next = answers.shift(); if (next) throw next; return "answer"; }), "answer");
  let tries = 0;
  await assert.rejects(client.patiently(async () => { tries++; throw new client.ApiError(404, {}, new Headers()); }), { status: 404 });
  assert.equal(tries, 1);
});

test("a photo is uploaded, analysed once, followed by fetch and asked about", async () => {
  const user = await person("node");
  await client.login(user.name, PASSWORD);
  const image_key = await client.uploadPlainly(photo());
  const first = await client.analyse(image_key, `once-${run}`);
  const again = await client.analyse(image_key, `once-${run}`);
  assert.equal(again.id, first.id);
  const stages = [];
  const analysis = await client.followByFetch(`/waste/analyses/${first.id}`, { progress: ({ stage }) => stages.push(stage) });
  assert.equal(analysis.status, "success");
  assert.ok(stages.length > 0, "progress was told");
  let shown = "";
  const options = { analysis_id: first.id, by: client.followByFetch, show: (words) => { shown = words; } };
  const reply = await client.ask(await client.converse("Node"), "이거 어떻게 버려요?", options);
  assert.equal(reply.status, "success");
  assert.equal(shown.trim(), reply.content.trim());
  await assert.rejects(client.analyse(image_key), { status: 404, type: "urn:eco2:uploads:not-found" });
});

test("a change on top of another's is refused, and a list comes page by page", async () => {
  const user = await person("etag");
  await client.login(user.name, PASSWORD);
  const { etag } = await client.readProfile();
  assert.equal((await client.rename("첫째", etag)).nickname, "첫째");
  await assert.rejects(client.rename("둘째", etag), { status: 412 });
  for (const title of ["a", "b", "c"]) await client.converse(title);
  const titles = [];
  for await (const conversation of client.all("/chat/conversations", 1)) titles.push(conversation.title);
  assert.deepEqual(titles, ["c", "b", "a"]);
});

test("a forgotten password is replaced with the letter's token", async () => {
  const user = await person("forgot");
  await client.forgotPassword(user.email);
  let letter;
  for (const end = Date.now() + PATIENCE; !letter; letter = newestLetter(user.email, "Set a new password")) {
    assert.ok(Date.now() < end, "the letter came");
    await new Promise((done) => setTimeout(done, 500));
  }
  const token = letter.text.trim().split(/\s+/).at(-1);
  await client.resetPassword(token, "Harbour-Velvet-29");
  await assert.rejects(client.login(user.name, PASSWORD), { status: 401 });
  await client.login(user.name, "Harbour-Velvet-29");
  await assert.rejects(client.resetPassword(token, PASSWORD), { type: "urn:eco2:auth:link-used-or-expired" });
  await client.logout();
});

test("in a browser, a page on another origin signs in with a provider and does the main job with EventSource", async () => {
  const address = `http://127.0.0.1:${server.address().port}/`;
  await page.goto(address);
  await page.evaluate(async () => { (await import("/frontend.js")).signInWith("kakao"); });
  await page.locator("#email").fill(`kakao-${run}@example.com`);
  await page.locator("form button").click();
  await page.waitForURL((url) => url.href.startsWith(address) && url.searchParams.has("code"));
  await page.locator('input[type="file"]').setInputFiles({ name: "photo.png", mimeType: "image/png", buffer: PHOTO });
  // The first stream breaks: the client comes again with a new ticket.
  await page.route(/\/events\?ticket=/, (route) => route.abort(), { times: 1 });
  const tickets = [];
  page.on("request", (request) => { const ticket = new URL(request.url()).searchParams.get("ticket"); if (ticket) tickets.push(ticket); });
  const found = await page.evaluate(async () => {
    const app = await import("/frontend.js");
    const signedIn = await app.finishSignIn();
    const shown = [];
    const { analysis, reply } = await app.mainJob(document.querySelector("input").files[0], (words) => shown.push(words));
    const { email } = await (await app.call("/auth/me")).json();
    await app.logout();
    const after = await app.follow(`/waste/analyses/${analysis.id}`).catch((error) => error.status);
    return { signedIn, shown, analysis, reply, email, after, address: location.href };
  });
  assert.equal(found.signedIn, true);
  assert.equal(found.address, address, "the code has left the address");
  assert.equal(found.email, `kakao-${run}@example.com`);
  assert.ok(found.shown.includes("100 %"), "the upload's progress was told");
  assert.equal(found.analysis.status, "success");
  assert.equal(found.reply.status, "success");
  assert.equal(found.shown.at(-1).trim(), found.reply.content.trim());
  assert.equal(found.after, 401);
  assert.equal(tickets.length, 3, "two for the analysis, one for the answer");
  assert.equal(new Set(tickets).size, tickets.length, "each ticket was used once");
});

test("in a browser, a log-out ends the stream of an analysis that is under way", async () => {
  const user = await person("stream");
  await page.goto(`http://127.0.0.1:${server.address().port}/`);
  await page.locator('input[type="file"]').setInputFiles({ name: "photo.png", mimeType: "image/png", buffer: PHOTO });
  eco2("pause", "worker-storage");
  try {
    const status = await page.evaluate(async ([name, password]) => {
      const app = await import("/frontend.js");
      await app.login(name, password);
      const { id } = await app.analyse(await app.upload(document.querySelector("input").files[0]));
      const opened = new Promise((resolve) => {
        const Source = EventSource;
        globalThis.EventSource = class extends Source {
          constructor(address) { super(address); this.addEventListener("open", resolve); }
        };
      });
      const followed = app.follow(`/waste/analyses/${id}`).then((analysis) => analysis.status, (error) => error.status);
      await opened;
      await app.logout();
      return followed;
    }, [user.name, PASSWORD]);
    assert.equal(status, 401);
  } finally {
    eco2("pause", "worker-storage", "--resume");
  }
});
