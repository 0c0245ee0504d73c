// The code of docs/FRONTEND.md as one module, on the client of `make client-ts` and a running system (ECO2_UI_GATEWAY; `make test-ui`
// starts one and writes the other): in Node.js, and in Chromium from a page on another origin.
import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";
import { chromium } from "playwright-core";

const GATEWAY = process.env.ECO2_UI_GATEWAY;
const PHOTO = readFileSync(process.env.ECO2_UI_PHOTO);
const PATIENCE = 90_000;
const PASSWORD = "Lantern-Orchid-71";
const run = Date.now().toString(36);

const CLIENT = new URL("../../build/client-ts/", import.meta.url);
const text = readFileSync(new URL("../../docs/FRONTEND.md", import.meta.url), "utf8");
const code = [...text.matchAll(/^```ts\n(.*?)^```$/gms)].map((block) => block[1]).join("\n");
const names = [...code.matchAll(/^(?:async )?function\*? (\w+)/gm)].map((found) => found[1]);
// As the page has it, but for the address; the client that `make client-ts` wrote is found by its name.
const MODULE = `${code.replace("http://127.0.0.1:8000", GATEWAY)}\nexport { ApiError, eco2, patiently, streamByTicket, ${names.join(", ")} };\n`;
const IMPORTS = {
  "eco2-client": "/dist/index.js",
  "openapi-fetch": "/node_modules/openapi-fetch/dist/index.mjs",
  "eventsource-parser/stream": "/node_modules/eventsource-parser/dist/stream.js",
};
const HTML = `<!doctype html><title>app</title><link rel="icon" href="data:,">
<script type="importmap">${JSON.stringify({ imports: IMPORTS })}</script><input type="file">`;

let client, browser, server, page;

/** The page's code, strictly checked, as JavaScript beside the client. */
function compile() {
  const folder = new URL("page/", CLIENT);
  mkdirSync(folder, { recursive: true });
  writeFileSync(new URL("frontend.ts", folder), MODULE);
  const options = { extends: "../tsconfig.json", compilerOptions: { rootDir: ".", outDir: "." }, include: [], files: ["frontend.ts"] };
  writeFileSync(new URL("tsconfig.json", folder), JSON.stringify(options));
  const tsc = fileURLToPath(new URL("node_modules/typescript/bin/tsc", CLIENT));
  const done = spawnSync("node", [tsc, "--project", fileURLToPath(folder)], { encoding: "utf8" });
  assert.equal(done.status, 0, done.stdout);
  return new URL("frontend.js", folder).href;
}

function serve(request, response) {
  const script = /^\/(page|dist|node_modules)\/[\w/.-]+\.m?js$/.test(request.url);
  response.setHeader("Content-Type", script ? "text/javascript" : "text/html; charset=utf-8");
  response.end(script ? readFileSync(new URL(`.${request.url}`, CLIENT)) : HTML);
}

before(async () => {
  assert.ok(code.includes("http://127.0.0.1:8000"), "the page names the gateway's usual address");
  client = await import(compile());
  server = createServer(serve).listen(0, "127.0.0.1");
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
  client.eco2.tokens = null;
  await client.register(user.name, user.email, PASSWORD);
  return user;
}

const eco2 = (...words) => execFileSync(".venv/bin/eco2", [...words, "--state", process.env.ECO2_UI_STATE]);

async function newestLetter(to, wanted) {
  for (const end = Date.now() + PATIENCE; ; await new Promise((done) => setTimeout(done, 500))) {
    const letter = JSON.parse(eco2("mail", "--json", "--to", to)).find(({ subject }) => subject.includes(wanted));
    if (letter) return letter;
    assert.ok(Date.now() < end, "the letter came");
  }
}

/** The page of another origin, with a photo chosen in its form. */
async function open() {
  const address = `http://127.0.0.1:${server.address().port}/`;
  if (page.url() !== address) await page.goto(address);
  await page.locator('input[type="file"]').setInputFiles({ name: "photo.png", mimeType: "image/png", buffer: PHOTO });
}

test("an error says what is wrong, field by field, and whom to ask", async () => {
  await assert.rejects(client.register("x", "no address", PASSWORD), (error) => {
    assert.equal(error.status, 400);
    assert.match(client.explain(error), /^(username|email): /);
    assert.ok(error.requestId);
    return true;
  });
  await assert.rejects(client.login(`nobody-${run}`, PASSWORD), (error) => {
    assert.equal(error.status, 401);
    assert.equal(error.type, "urn:eco2:auth:invalid-credentials");
    return client.explain(error) === "Name or password is wrong.";
  });
});

// In each place: ten requests with a token that has expired, and what was asked of the API meanwhile.
async function expired(app, paths) {
  app.eco2.tokens = { ...app.eco2.tokens, access_token: "expired" };
  const fetched = globalThis.fetch;
  globalThis.fetch = (request, options) => {
    paths.push(new URL(request.url ?? request).pathname);
    return fetched(request, options);
  };
  try {
    const answers = await Promise.all(Array.from({ length: 10 }, () => app.eco2.api.GET("/api/v1/auth/me")));
    return answers.map(({ response }) => response.status);
  } finally {
    globalThis.fetch = fetched;
  }
}

test("parallel requests with an expired token refresh it once", async () => {
  const user = await person("refresh");
  await client.login(user.name, PASSWORD);
  const paths = [];
  assert.deepEqual(await expired(client, paths), Array(10).fill(200));
  assert.equal(paths.filter((path) => path.endsWith("/auth/refresh")).length, 1);
  assert.equal(paths.length, 21, "each request was sent twice");
});

test("a session that is over is told as 401, and to whoever keeps the tokens", async () => {
  const user = await person("over");
  await client.login(user.name, PASSWORD);
  const kept = [];
  client.eco2.onTokens = (tokens) => kept.push(tokens);
  client.eco2.tokens = { ...client.eco2.tokens, access_token: "expired", refresh_token: "x".repeat(43) };
  const { response, error } = await client.eco2.api.GET("/api/v1/auth/me");
  client.eco2.onTokens = () => {};
  assert.equal(response.status, 401);
  assert.equal(error.type, "urn:eco2:auth:invalid-token");
  assert.equal(kept.at(-1), null);
});

test("a request is repeated after Retry-After, and only where that helps", async () => {
  const refusal = (status, headers) => new client.ApiError(new Response(null, { status, headers }), null);
  const answers = [refusal(503, { "Retry-After": "1" }), null];
  assert.equal(await client.patiently(async () => { const next = answers.shift(); if (next) throw next; return "answer"; }), "answer");
  let tries = 0;
  await assert.rejects(client.patiently(async () => { tries++; throw refusal(404); }), { status: 404 });
  assert.equal(tries, 1);
});

test("a photo is uploaded, analysed once, followed by fetch through a reconnect and asked about", async () => {
  const user = await person("node");
  await client.login(user.name, PASSWORD);
  const parts = [];
  const image_key = await client.send(photo(), (percent) => parts.push(percent));
  assert.deepEqual(parts, ["100 %"]);
  const first = await client.analyse(image_key, `once-${run}`);
  const again = await client.analyse(image_key, `once-${run}`);
  assert.equal(again.id, first.id);
  const stages = [];
  const { asked, analysis } = await torn(() => client.follow(first.id, (stage) => stages.push(stage)));
  assert.equal(analysis.status, "success");
  assert.ok(stages.length > 0, "progress was told");
  assert.equal(new Set(stages).size, stages.length, "no event was told twice");
  assert.equal(asked.length, 2);
  assert.match(asked[1], /^\d+-\d+$/, "the second begins behind the last event of the first");
  let shown = "";
  const { id } = await client.converse("Node");
  const reply = await client.ask(id, "이거 어떻게 버려요?", first.id, (words) => { shown = words; });
  assert.equal(reply.status, "success");
  assert.equal(shown.trim(), reply.content.trim());
  await assert.rejects(client.analyse(image_key), { status: 404, type: "urn:eco2:uploads:not-found" });
});

/** What `follow` finds when its first stream breaks after one event, and the Last-Event-ID of each request for the stream. */
async function torn(follow) {
  const fetched = globalThis.fetch;
  const asked = [];
  globalThis.fetch = async (request, options) => {
    const answer = await fetched(request, options);
    if (!request.url?.endsWith("/events")) return answer;
    asked.push(request.headers.get("Last-Event-ID"));
    if (asked.length > 1) return answer;
    let text = "";
    let told = false;
    // A stream keeps the `transform` that it began with, so what comes behind the first event is left out by this flag.
    const broken = new TransformStream({
      transform(bytes, stream) {
        if (told) return;
        text += Buffer.from(bytes).toString();
        const end = text.indexOf("\n\n");
        if (end < 0) return;
        told = true;
        stream.enqueue(Buffer.from(text.slice(0, end + 2)));
        // Not in the same step: what is read already would be thrown away with it.
        setTimeout(() => stream.error(new TypeError("terminated")), 200);
      },
      // A photo that is done already ends its stream at once: the break comes all the same.
      flush: () => new Promise(() => {}),
    });
    return new Response(answer.body.pipeThrough(broken), answer);
  };
  try {
    return { analysis: await follow(), asked };
  } finally {
    globalThis.fetch = fetched;
  }
}

test("a change on top of another's is refused, and a list comes page by page", async () => {
  const user = await person("etag");
  await client.login(user.name, PASSWORD);
  const { etag } = await client.readProfile();
  assert.equal((await client.rename("첫째", etag)).nickname, "첫째");
  await assert.rejects(client.rename("둘째", etag), { status: 412 });
  for (const title of ["a", "b", "c"]) await client.converse(title);
  const titles = [];
  for await (const conversation of client.conversations(1)) titles.push(conversation.title);
  assert.deepEqual(titles, ["c", "b", "a"]);
});

test("in a browser, a page on another origin registers, uploads from a form with progress, follows and asks by EventSource", async () => {
  await page.goto(`http://127.0.0.1:${server.address().port}/`);
  await open();
  // A slow line: a fast one sends all of the photo before the browser says how far it is.
  const line = await page.context().newCDPSession(page);
  await line.send("Network.emulateNetworkConditions", { offline: false, latency: 0, downloadThroughput: -1, uploadThroughput: PHOTO.length });
  // The first stream breaks: the client comes again with a new ticket.
  await page.route(/\/events\?ticket=/, (route) => route.abort(), { times: 1 });
  const tickets = [];
  const listen = (request) => { const ticket = new URL(request.url()).searchParams.get("ticket"); if (ticket) tickets.push(ticket); };
  page.on("request", listen);
  const found = await page.evaluate(async ([name, password]) => {
    const app = await import("/page/frontend.js");
    await app.register(name, `${name}@example.com`, password);
    await app.login(name, password);
    const shown = [];
    const { analysis, reply } = await app.mainJob(document.querySelector("input").files[0], (words) => shown.push(words));
    return { shown, analysis, reply };
  }, [`page-${run}`, PASSWORD]);
  page.off("request", listen);
  await line.detach();
  const percents = found.shown.filter((words) => / %$/.test(words)).map((words) => parseInt(words));
  assert.ok(percents.some((percent) => percent > 0 && percent < 100), `the upload told how far it is: ${percents}`);
  assert.equal(percents.at(-1), 100);
  assert.equal(found.analysis.status, "success");
  assert.equal(found.reply.status, "success");
  assert.equal(found.shown.at(-1).trim(), found.reply.content.trim());
  assert.equal(tickets.length, 3, "two for the analysis, one for the answer");
  assert.equal(new Set(tickets).size, tickets.length, "each ticket was used once");
});

test("in a browser, parallel requests with an expired token refresh it once, and fetch follows too", async () => {
  const { statuses, paths, analysis } = await page.evaluate(async (expired) => {
    const app = await import("/page/frontend.js");
    const paths = [];
    const statuses = await new Function(`return ${expired}`)()(app, paths);
    const { id } = await app.analyse(await app.send(document.querySelector("input").files[0]));
    return { statuses, paths, analysis: await app.follow(id) };
  }, expired.toString());
  assert.deepEqual(statuses, Array(10).fill(200));
  assert.equal(paths.filter((path) => path.endsWith("/auth/refresh")).length, 1);
  assert.equal(analysis.status, "success");
});

test("in a browser, a person signs in with a provider, and the code leaves the address", async () => {
  const address = `http://127.0.0.1:${server.address().port}/`;
  await page.goto(address);
  await page.evaluate(async () => { (await import("/page/frontend.js")).signInWith("kakao"); });
  await page.locator("#email").fill(`kakao-${run}@example.com`);
  await page.locator("form button").click();
  await page.waitForURL((url) => url.href.startsWith(address) && url.searchParams.has("code"));
  const found = await page.evaluate(async () => {
    const app = await import("/page/frontend.js");
    const signedIn = await app.finishSignIn();
    const { data } = await app.eco2.api.GET("/api/v1/auth/me");
    return { signedIn, email: data.email, address: location.href };
  });
  assert.deepEqual(found, { signedIn: true, email: `kakao-${run}@example.com`, address });
});

test("in a browser, a log-out ends the streams of an analysis that is under way", async (context) => {
  const user = await person("stream");
  await page.goto(`http://127.0.0.1:${server.address().port}/`);
  await open();
  eco2("pause", "worker-storage");
  try {
    const found = await page.evaluate(async ([name, password]) => {
      const app = await import("/page/frontend.js");
      await app.login(name, password);
      const { id } = await app.analyse(await app.send(document.querySelector("input").files[0]));
      const opened = new Promise((resolve) => {
        const Source = EventSource;
        globalThis.EventSource = class extends Source {
          constructor(address) { super(address); this.addEventListener("open", resolve); }
        };
      });
      const ended = (options) => app.follow(id, () => {}, options).then(({ status }) => status, ({ status }) => status);
      const followed = [ended({ by: app.streamByTicket }), ended()];
      await opened;
      const begun = performance.now();
      await app.logout();
      return { statuses: await Promise.all(followed), seconds: (performance.now() - begun) / 1000 };
    }, [user.name, PASSWORD]);
    assert.deepEqual(found.statuses, [401, 401]);
    // Five are promised for a stream's end; the client comes again a second later, and hears 401.
    context.diagnostic(`both had ended after ${found.seconds.toFixed(1)} s`);
  } finally {
    eco2("pause", "worker-storage", "--resume");
  }
});

test("in a browser, a forgotten password is replaced with the letter's token", async () => {
  const user = await person("forgot");
  await page.evaluate(async (email) => (await import("/page/frontend.js")).forgotPassword(email), user.email);
  const token = (await newestLetter(user.email, "Set a new password")).text.trim().split(/\s+/).at(-1);
  const found = await page.evaluate(async ([token, name, old]) => {
    const app = await import("/page/frontend.js");
    await app.resetPassword(token, "Harbour-Velvet-29");
    const refused = [await app.login(name, old).catch((error) => error.type)];
    await app.login(name, "Harbour-Velvet-29");
    refused.push(await app.resetPassword(token, old).catch((error) => error.type));
    await app.logout();
    return refused;
  }, [token, user.name, PASSWORD]);
  assert.deepEqual(found, ["urn:eco2:auth:invalid-credentials", "urn:eco2:auth:link-used-or-expired"]);
});
