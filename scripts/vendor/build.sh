#!/bin/sh
# vendor*.js of the studio's pages, from the versions in package-lock.json: sh scripts/vendor/build.sh [DIRECTORY]
# The same lock file gives the same bytes; tests/studio/test_vendor.py compares them. Nobody needs this but who changes it.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
out=${1:-$here/../../src/trueward/studio/page}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cp "$here/package.json" "$here/package-lock.json" "$here"/entry*.js "$work"
cd "$work"
npm ci --ignore-scripts --no-audit --no-fund --loglevel=error
esbuild=$(ls node_modules/@esbuild/*/bin/esbuild)
for part in "" -chart -markdown -math -code; do
    "$esbuild" "entry$part.js" --bundle --minify --format=esm --target=es2022 --charset=utf8 --legal-comments=none \
        --log-level=warning --outfile="$work/vendor$part.js"
done
"$esbuild" node_modules/uplot/dist/uPlot.min.css --minify --log-level=warning --outfile="$work/vendor.css"
{
    echo "vendor*.js and vendor.css are made of the packages below, each with its licence."
    for package in preact @preact/signals @preact/signals-core htm uplot \
        markdown-it entities linkify-it mdurl punycode.js uc.micro katex lowlight devlop dequal highlight.js; do
        printf '\n== %s %s\n\n' "$package" "$(node -p "require('./node_modules/$package/package.json').version")"
        cat "node_modules/$package"/[Ll][Ii][Cc][Ee][Nn][SsCc][Ee]*
    done
} > "$work/vendor.txt"
cp "$work"/vendor*.js "$work/vendor.css" "$work/vendor.txt" "$out"
