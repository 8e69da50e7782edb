#!/usr/bin/env bash
# Prints files as C: an array of bytes each, and the table of all of them (core/web/web.c includes it).
#
#   tools/embed.sh FILE... > page.inc
set -euo pipefail

declare -A types=([html]="text/html; charset=utf-8" [css]="text/css; charset=utf-8" [js]="text/javascript; charset=utf-8"
    [svg]="image/svg+xml")
table=""
number=0
for file in "$@"; do
    name=${file##*/}
    number=$((number + 1))
    printf 'static const unsigned char file_%d[] = {\n' "$number"
    od -An -v -tu1 "$file" | sed 's/ *\([0-9][0-9]*\)/\1,/g'
    printf '};\n'
    table+=$(printf '    {"%s", "%s", (const char *)file_%d, sizeof(file_%d), "\\"%s\\""},' "$name" \
        "${types[${name##*.}]}" "$number" "$number" "$(sha256sum "$file" | cut -c1-16)")$'\n'
done
printf 'static const struct pm_web_file files[] = {\n%s};\n' "$table"
