"""Schemas of a rating, as texts: one of Avro, and one of Protobuf that refers to another."""

from __future__ import annotations

AVRO = {
    "type": "record",
    "name": "Rating",
    "fields": [
        {"name": "user", "type": ["null", "string"]},
        {"name": "item", "type": "long"},
        {"name": "rating", "type": {"type": "bytes", "logicalType": "decimal", "precision": 4, "scale": 2}},
        {"name": "at", "type": {"type": "long", "logicalType": "timestamp-millis"}},
        {"name": "day", "type": {"type": "int", "logicalType": "date"}, "default": 0},
        {"name": "more", "type": {"type": "map", "values": "string"}, "default": {}},
        {"name": "kind", "type": {"type": "enum", "name": "K", "symbols": ["A", "B"]}, "default": "A"},
    ],
}
PROTO = """
syntax = "proto3";
package shop.v1;
import "google/protobuf/timestamp.proto";
import "google/protobuf/wrappers.proto";
import "common.proto";
enum Kind { VIEW = 0; BOUGHT = 1; }
message Other { string x = 1; message Inner { string user = 1; string item = 2; double rating = 3; } }
message Rating {
  string user_id = 1;
  Product product = 2;
  google.protobuf.FloatValue stars = 3;
  google.protobuf.Timestamp at = 4;
  Kind kind = 5;
  repeated Product lines = 6;
  optional string note = 7;
}
"""
COMMON = 'syntax = "proto3";\npackage shop.v1;\nmessage Product { int64 sku = 1; }\n'
