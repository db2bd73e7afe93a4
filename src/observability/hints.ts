/** What to do about errors that several parts of the program log. */
export const Hint = {
  defect: 'this is a defect of gitlab-kas: please report it, with this line and its version',
  store:
    'the store failed: see whether Redis is up and what section redis of the configuration says, and look for earlier lines about it',
  gitlab: 'see whether GitLab is up and gitlab.address is right; its log has the request under the same correlation_id',
  gitaly:
    'see whether Gitaly is up and can be reached from here under the address that GitLab has for it (gitaly_address, repositories_storages)',
} as const;
