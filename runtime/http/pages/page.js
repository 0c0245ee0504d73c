// The reference around Scalar: a document with samples in TypeScript, and who tries.
const base = document.documentElement.dataset.base;
const said = document.getElementById("said");
const field = (name) => document.getElementById(name);

const quoted = (value) => JSON.stringify(value, null, 2);
const nameOf = (schema) => schema?.$ref?.split("/").pop() ?? (schema?.items && `${nameOf(schema.items)}[]`);

/** A call of the operation in TypeScript, with types as openapi-typescript names them. */
function sample(path, method, operation) {
  const body = operation.requestBody?.content?.["application/json"];
  const [status, answer] = Object.entries(operation.responses).find(([code]) => code < "400") ?? [];
  const type = nameOf(answer?.content?.["application/json"]?.schema);
  const headers = {};
  if (operation.security?.some((one) => "bearer" in one)) headers.Authorization = "Bearer ACCESS_TOKEN";
  if (body) headers["Content-Type"] = "application/json";
  if (operation.parameters?.some((one) => one.name === "Idempotency-Key")) headers["Idempotency-Key"] = "KEY";
  const lines = [`  method: "${method.toUpperCase()}",`];
  if (Object.keys(headers).length) lines.push(`  headers: ${quoted(headers).replaceAll("\n", "\n  ")},`);
  if (body) lines.push(`  body: JSON.stringify(${quoted(body.example ?? {}).replaceAll("\n", "\n  ")}),`);
  const address = location.origin + path.replaceAll(/\{(\w+)\}/g, "${$1}");
  const code = [`const answer = await fetch(\`${address}\`, {`, ...lines, "});"];
  if (type) code.push(`const found: components["schemas"]["${type.replace("[]", "")}"]${type.endsWith("[]") ? "[]" : ""} = await answer.json();`);
  return type ? ['import type { components } from "./eco2";', "", ...code].join("\n") : code.join("\n");
}

const content = await (await fetch(`${base}/docs/openapi.json`)).json();
content.servers = [{ url: location.origin }];
for (const [path, operations] of Object.entries(content.paths)) {
  for (const [method, operation] of Object.entries(operations)) {
    operation["x-codeSamples"] = [{ lang: "TypeScript", label: "TypeScript", source: sample(path, method, operation) }];
  }
}

const dark = matchMedia("(prefers-color-scheme: dark)");
const configuration = (token = "") => ({
  content,
  darkMode: dark.matches,
  hideDarkModeToggle: true,
  withDefaultFonts: false,
  telemetry: false,
  agent: { disabled: true },
  mcp: { disabled: true },
  hideClientButton: true,
  showDeveloperTools: "never",
  persistAuth: false,
  defaultOpenAllTags: false,
  documentDownloadType: "none",
  defaultHttpClient: { targetKey: "shell", clientKey: "curl" },
  hiddenClients: { c: true, clojure: true, csharp: true, dart: true, fsharp: true, go: true, http: true, java: true, js: true,
    kotlin: true, node: true, objc: true, ocaml: true, php: true, powershell: true, r: true, ruby: true, rust: true, swift: true,
    shell: ["wget", "httpie"], python: ["python3", "requests", "aiohttp", "httpx_async"] },
  authentication: { preferredSecurityScheme: "bearer", securitySchemes: { bearer: { token } } },
});
const reference = globalThis.Scalar.createApiReference("#reference", configuration());
let token = "";
const show = () => reference.updateConfiguration(configuration(token));
dark.addEventListener("change", show);

async function post(path, body) {
  const headers = { "Content-Type": "application/json" };
  const answer = await fetch(`/api/v1/auth${path}`, { method: "POST", headers, body: JSON.stringify(body) });
  const found = await answer.json();
  if (!answer.ok) throw new Error(found.detail ?? `the API says ${answer.status}`);
  return found;
}

async function become(username, password) {
  token = (await post("/login", { username, password })).access_token;
  said.textContent = `as ${username}, for 15 minutes`;
  show();
}

/** Run what a button does, and say what went wrong. */
const onPress = (id, work) =>
  field(id).addEventListener("click", async (event) => {
    event.preventDefault();
    said.textContent = "…";
    try {
      await work();
    } catch (error) {
      said.textContent = error.message;
    }
  });

onPress("login", () => become(field("username").value, field("password").value));
onPress("new", async () => {
  const name = `reader-${crypto.getRandomValues(new Uint32Array(1))[0].toString(36)}`;
  const password = Array.from(crypto.getRandomValues(new Uint8Array(12)), (byte) => byte.toString(16)).join("");
  await post("/register", { username: name, email: `${name}@example.com`, password });
  field("username").value = name;
  field("password").value = password;
  await become(name, password);
});
