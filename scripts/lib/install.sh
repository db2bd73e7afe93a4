# For the scripts of this folder's parent, at the repository's root: installs the packages when they are missing or out of date.

if ! command -v node >/dev/null 2>&1 || ! command -v npm >/dev/null 2>&1; then
  echo "$0: install Node 20 or newer with npm first" >&2
  exit 1
fi
if [ "$(node -p 'process.versions.node.split(".")[0]')" -lt 20 ]; then
  echo "$0: Node 20 or newer is needed, this is $(node --version)" >&2
  exit 1
fi
if [ ! -e node_modules/.package-lock.json ] || [ package-lock.json -nt node_modules/.package-lock.json ]; then
  echo "Installing packages (npm ci) …"
  npm ci --no-audit --no-fund --loglevel=error
fi

# The pinned Node needs a library that Node 20 does without, so that small systems may lack it.
if ! said=$(./scripts/node --version 2>&1); then
  case $said in
    *libatomic*) ;;
    *) echo "$0: $said" >&2; exit 1 ;;
  esac
  if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
    echo "Installing libatomic1, which Node 26 needs …"
    (apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends libatomic1) >/dev/null
  else
    echo "$0: Node 26 needs libatomic.so.1; install it first (Debian: libatomic1, Fedora: libatomic)" >&2
    exit 1
  fi
fi
