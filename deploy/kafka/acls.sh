#!/bin/sh
# The rights that the worker and its neighbours need, and no others. The tests give exactly these to a broker that allows
# nothing else, and take each one away again to see what then fails.
#
#   BROKER=kafka-1:9092 ADMIN=admin.properties deploy/kafka/acls.sh             gives them, with Kafka's kafka-acls.sh
#   KAFKA_ACLS='echo kafka-acls.sh' BROKER=kafka-1:9092 deploy/kafka/acls.sh    only says what it would run
#
# ADMIN is a file with the administrator's login, as Kafka's tools take it. SOURCES are topics that are learned from,
# REPLIES topics that replies go to. WORKER, SERVICE, OWNER and READER are the principals: of the workers, of your services,
# of who runs `recommender topics`, and of who runs `recommender experiment report`, `journal` and `retrain`.
# HTTP=on where ratings come over HTTP or from the live page; LOG=on with RECOMMENDER_RECOMMENDATIONS_LOG,
# and HIDE_SEEN=on where requests ask for `hide_seen`, or RECOMMENDER_HIDE_SEEN is set. RETENTION=on with
# RECOMMENDER_JOURNAL_RETENTION; REWRITER is the principal of who runs `recommender forget --rewrite`, if somebody does.
set -eu
: "${BROKER:?BROKER has no value: expected the addresses of brokers, HOST:PORT}"
prefix=${PREFIX:-}
group=${GROUP:-recommender}
sources=${SOURCES:-${prefix}ratings}

allow() {
  principal=$1
  shift
  ${KAFKA_ACLS:-kafka-acls.sh} --bootstrap-server "$BROKER" ${ADMIN:+--command-config "$ADMIN"} \
    --add --allow-principal "$principal" "$@"
}

worker=${WORKER:-User:recommender}
allow "$worker" --operation Read --group "$group" --group "$group-requests"
for topic in $sources "${prefix}items"; do
  allow "$worker" --operation Read --topic "$topic"
done
allow "$worker" --operation Read --operation Write --topic "${prefix}ratings-journal" --topic "${prefix}recommendation-requests"
for topic in "${prefix}recommendation-responses" "${prefix}ratings-dlt" ${REPLIES:-}; do
  allow "$worker" --operation Write --topic "$topic"
done
if [ "${HTTP:-off}" = on ]; then allow "$worker" --operation Write --topic "${prefix}ratings"; fi
if [ "${LOG:-off}" = on ]; then allow "$worker" --operation Write --topic "${prefix}recommendations-log"; fi
if [ "${HIDE_SEEN:-off}" = on ]; then allow "$worker" --operation Read --topic "${prefix}recommendations-log"; fi
if [ "${RETENTION:-off}" = on ]; then allow "$worker" --operation Delete --topic "${prefix}ratings-journal"; fi
if [ -n "${REWRITER:-}" ]; then
  allow "$REWRITER" --operation Write --topic "${prefix}ratings"
  allow "$REWRITER" --operation Read --operation Write --operation Delete --operation AlterConfigs --topic "${prefix}ratings-journal"
fi

service=${SERVICE:-User:shop}
allow "$service" --operation Write --topic "${prefix}ratings" --topic "${prefix}items" --topic "${prefix}recommendation-requests"
allow "$service" --operation Read --topic "${prefix}recommendation-responses"

owner=${OWNER:-User:owner}
for topic in ratings ratings-journal recommendation-requests recommendation-responses ratings-dlt recommendations-log items; do
  allow "$owner" --operation Create --operation Describe --operation DescribeConfigs --topic "$prefix$topic"
done

reader=${READER:-User:reader}
allow "$reader" --operation Read --topic "${prefix}ratings-journal" --topic "${prefix}recommendations-log"
