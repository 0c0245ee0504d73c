import type { components } from "./schema.js";

type Problem = components["schemas"]["ProblemDocument"];

/** An answer that says what went wrong (RFC 9457). Decide by `type`, which never changes; show `message` or `fields`. */
export class ApiError extends Error {
  readonly status: number;
  /** Such as "urn:eco2:auth:invalid-credentials"; "about:blank" where the answer was not the API's. */
  readonly type: string;
  /** What is wrong in which field of the request. */
  readonly fields: Record<string, string>;
  /** Finds the request in logs and traces. */
  readonly requestId: string | null;
  /** Seconds after which the request may succeed; 0 where the answer does not say. */
  readonly retryAfter: number;

  constructor(response: Response, error: unknown) {
    const problem: Partial<Problem> = typeof error === "object" && error !== null ? error : {};
    super(problem.detail ?? problem.title ?? `HTTP ${response.status}`);
    this.name = "ApiError";
    this.status = response.status;
    this.type = problem.type ?? "about:blank";
    this.fields = Object.fromEntries((problem.errors ?? []).map((one) => [one.field, one.message]));
    this.requestId = response.headers.get("X-Request-Id");
    this.retryAfter = Number(response.headers.get("Retry-After")) || 0;
  }
}

/** The error that an answer tells of. */
export async function refusal(answer: Response): Promise<ApiError> {
  return new ApiError(answer, await answer.json().catch(() => null));
}

interface Answer<T> {
  data?: T;
  error?: unknown;
  response: Response;
}

/** What an operation answers; throws an ApiError if it is an error. */
export async function value<T>(answer: Answer<T> | Promise<Answer<T>>): Promise<T> {
  const { data, error, response } = await answer;
  if (!response.ok) throw new ApiError(response, error);
  return data as T; // undefined only where the operation answers no body
}

/**
 * Repeats a request that was not answered, or was told to come later (429, 503), at most `tries` times in all.
 * Only for what may be repeated: a GET, or a POST with an `Idempotency-Key`.
 */
export async function patiently<T>(request: () => Promise<T>, tries = 4): Promise<T> {
  for (let n = 1; ; n++) {
    try {
      return await request();
    } catch (error) {
      const seconds = mayRepeat(error);
      if (seconds === null || n === tries) throw error;
      await new Promise((done) => setTimeout(done, 1000 * (seconds || n)));
    }
  }
}

/** The seconds to wait, 0 where no one says how many; null where repeating does not help. */
function mayRepeat(error: unknown): number | null {
  if (error instanceof TypeError) return 0; // fetch's word for "no answer"
  if (!(error instanceof ApiError)) return null;
  const later = error.status === 429 || error.status === 503 || error.type === "urn:eco2:idempotency:under-way";
  return later ? error.retryAfter : null;
}
