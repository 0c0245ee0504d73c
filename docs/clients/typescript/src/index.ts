/** The Eco² API from TypeScript: each operation by its types, and what a document of operations can't say. */
export { ApiError, patiently, value } from "./answers.js";
export { streamByFetch } from "./by_fetch.js";
export { streamByTicket } from "./by_ticket.js";
export { Eco2, type Tokens } from "./eco2.js";
export { followAnalysis, followReply, type FollowOptions } from "./follow.js";
export { upload, type UploadOptions } from "./upload.js";
export type { components, paths } from "./schema.js";
