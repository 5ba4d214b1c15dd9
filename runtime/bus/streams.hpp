#pragma once

#include <boost/json/object.hpp>
#include <chrono>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace kgents::runtime::bus {

/// A JetStream stream as it should be (events-and-billing.md 2.2).
struct stream {
  std::string name;
  std::vector<std::string> subjects;
  std::chrono::nanoseconds max_age{0};  ///< 0: none
  int64_t max_msgs = -1;                ///< -1: no bound
  int64_t max_msgs_per_subject = -1;
  std::chrono::nanoseconds duplicate_window = std::chrono::seconds{120};
  uint32_t replicas = 1;
};

/// The four of this server; `events` names the one of session events.
[[nodiscard]] std::vector<stream> all_streams(std::string_view events, uint32_t replicas);

/// The request to `$JS.API.STREAM.CREATE.<name>`: times are in nanoseconds on the wire.
[[nodiscard]] std::string create_request(const stream& x);

/// What to do about a stream that exists.
struct comparison {
  /// The request to `$JS.API.STREAM.UPDATE.<name>`: what it has, with our subjects added and its
  /// limits raised to ours. Nothing when nothing is missing.
  std::optional<std::string> update;
  /// What differs and is left as it is, since a change could throw messages away: in words.
  std::vector<std::string> left;
};

/// `has` is the `config` of a stream's information.
[[nodiscard]] comparison compare(const stream& wanted, const boost::json::object& has);

/// What JetStream answers to a publish.
struct acknowledgement {
  enum class kind : uint8_t {
    stored,
    refused,   ///< not now: no leader, no space; another attempt may succeed
    rejected,  ///< this message, for ever
  };
  kind what = kind::refused;
  bool duplicate = false;  ///< stored before, by an earlier attempt
  std::string error;
};

[[nodiscard]] acknowledgement parse_acknowledgement(std::string_view json);

/// What JetStream's API answers: the answer, or why not.
struct api_answer {
  boost::json::object body;
  int code = 0;  ///< 0: no error; 404: there is no such stream
  std::string error;
};

[[nodiscard]] api_answer parse_api_answer(std::string_view json);

}  // namespace kgents::runtime::bus
