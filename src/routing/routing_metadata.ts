/** Metadata for the nodes on the way; none of it reaches the agent (docs/protocol/routing.md, between nodes). */
export const HOP_PREFIX = 'kas-hop-';
/** Which agent a call between nodes is for, in decimal. */
export const ROUTING_AGENT_ID = 'kas-hop-routing-agent-id';
