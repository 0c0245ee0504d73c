import { value } from "./answers.js";
import type { Eco2 } from "./eco2.js";
import type { components } from "./schema.js";

type Form = components["schemas"]["Upload"];
type PhotoType = components["schemas"]["PhotoType"];

export interface UploadOptions {
  /** A photo to be analysed, or the person's picture. */
  for?: "analysis" | "avatar";
  /** Hears the part that is sent, 0 to 1; without XMLHttpRequest (Node.js) only 1, at the end. */
  onProgress?: (part: number) => void;
  signal?: AbortSignal;
}

/**
 * Sends a photo (JPEG, PNG or WebP, up to 10 MiB) straight to the object store, in a form that the API signs.
 * Returns its image key, which is good for an hour and once.
 */
export async function upload(eco2: Eco2, photo: Blob, options: UploadOptions = {}): Promise<string> {
  // The API says what is wrong with another type.
  const body = { content_type: photo.type as PhotoType, size_bytes: photo.size };
  const form = await value(
    options.for === "avatar"
      ? eco2.api.POST("/api/v1/users/me/avatar/uploads", { body })
      : eco2.api.POST("/api/v1/waste/uploads", { body }),
  );
  const status = await (typeof XMLHttpRequest === "undefined" ? byFetch : byRequest)(form.url, filled(form, photo), options);
  if (status >= 300) throw new Error(`the object store refuses the photo: HTTP ${status}`);
  options.onProgress?.(1);
  return form.image_key;
}

function filled(form: Form, photo: Blob): FormData {
  const data = new FormData();
  for (const [name, text] of Object.entries(form.fields)) data.append(name, text);
  data.append("file", photo); // the last field: the store ignores what follows it
  return data;
}

async function byFetch(url: string, body: FormData, { signal }: UploadOptions): Promise<number> {
  return (await fetch(url, { method: "POST", body, signal: signal ?? null })).status;
}

/** With what a browser's `fetch` does not have: how far it is. */
function byRequest(url: string, form: FormData, { onProgress, signal }: UploadOptions): Promise<number> {
  return new Promise((resolve, reject) => {
    signal?.throwIfAborted();
    const request = new XMLHttpRequest();
    request.upload.onprogress = (event) => event.loaded < event.total && onProgress?.(event.loaded / event.total);
    request.onload = () => resolve(request.status);
    request.onerror = () => reject(new TypeError("the object store does not answer"));
    request.onabort = () => reject(signal?.reason);
    signal?.addEventListener("abort", () => request.abort(), { once: true });
    request.open("POST", url);
    request.send(form);
  });
}
