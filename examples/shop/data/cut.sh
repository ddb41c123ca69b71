#!/bin/sh
# Cuts the slice out of the whole file: every line from the given day on. An
# invoice has one time stamp, so whole days are whole invoices. The same input
# gives the same bytes.
#   ./cut.sh path/to/online_retail.csv.gz > online-retail-slice.csv.gz
set -eu
zcat "$1" | awk -v from=2011-10-18 '
  NR == 1 || (match($0, /,20[0-9][0-9]-[0-9-]+ [0-9:]+,/) && substr($0, RSTART + 1, 10) >= from)
' | gzip -9n
