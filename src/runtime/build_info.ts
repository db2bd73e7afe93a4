interface BuildInfo {
  /** The GitLab release that this server serves. Peers compare it with their own, so it is not a number of ours. */
  readonly version: string;
  /** Short hash of the commit, or `source` when the server runs unbuilt. */
  readonly commit: string;
  /** `YYYYmmdd.HHMMSS` in UTC. */
  readonly builtAt: string;
  /** Our own release: the version in package.json. */
  readonly build: string;
}

/** Put in by scripts/build.ts. */
declare const __BUILD__: Omit<BuildInfo, 'version'> | undefined;

/** What was baked into the executable, with stand-ins when the server runs from source. */
export const buildInfo: BuildInfo = {
  version: 'v19.3.0',
  ...(typeof __BUILD__ === 'undefined' ? { commit: 'source', builtAt: '00000000.000000', build: 'source' } : __BUILD__),
};

/** How the server calls itself in `Server` and `User-Agent`. */
export const identity: string = `gitlab-kas/${buildInfo.version}/${buildInfo.commit}`;
