/** What both ways to speak HTTP/1.1 with GitLab keep to. */

export const MAX_CONNECTIONS = 50;
/** A connection that nobody uses is kept so long. */
export const IDLE_MS = 90_000;
/** GitLab has so long to begin its answer. */
export const RESPONSE_HEADER_TIMEOUT_MS = 20_000;
/** The runtime's own 16 KiB are soon full of policies and feature flags. */
export const MAX_HEAD_BYTES = 1 << 20;
