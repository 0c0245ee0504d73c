import type { Eco2 } from "./eco2.js";

/** One event of a stream. */
export interface Told {
  event: string;
  data: unknown;
}

/** Yields the events at a path, opening it anew whenever it breaks; "again" where it then begins at its beginning. */
export type Stream = (eco2: Eco2, path: string, signal?: AbortSignal) => AsyncGenerator<Told | "again">;

/** Whether nothing comes after it. */
export const isLast = ({ event }: Told): boolean => event === "done" || event === "failed";

/** Before a stream that broke is opened again. */
export const pause = (): Promise<void> => new Promise((done) => setTimeout(done, 1000));
