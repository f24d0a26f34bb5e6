#!/bin/sh
# The same with curl: sh examples/over_http.sh
set -eu
worker="http://127.0.0.1:${RECOMMENDER_WEB_PORT:-6066}"

call() { # PATH [JSON]
    path=$1
    shift
    curl --silent --show-error ${RECOMMENDER_WEB_TOKEN:+-H "Authorization: Bearer $RECOMMENDER_WEB_TOKEN"} \
        ${1:+-H 'Content-Type: application/json' --data "$1"} "$worker$path"
    echo
}

call /ratings '{"user": "ann", "item": "tea", "rating": 5}'
call '/recommend?user=ann&n=3&include_rated=true'
call '/items/tea/similar?n=3'
call /recommend '{"history": ["tea"], "n": 3}'
