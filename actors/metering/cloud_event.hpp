#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "sql/metering.hpp"

/// Export of usage to OpenMeter, and what goes with it.
namespace kgents::metering {

/// The sources of events. The provider takes two events of one source and id for one.
inline constexpr std::string_view usage_source = "kgents-api";
inline constexpr std::string_view billing_source = "kgents-stripe-bridge";

/// A CloudEvents 1.0 event (events-and-billing.md 3.1), ready to be sent.
struct cloud_event {
  std::string id;
  std::string_view source;
  std::string type;
  std::string body;     ///< the whole event, JSON
  std::string subject;  ///< also in the body
};

/// What a row tells the provider, none to two events. Pure, so every attempt gives the same ids:
/// the first event has the row's own, the second that with its type behind.
///
///     api_call of source api      api.request       one row may stand for several: data.count
///     api_call of kgent, soul     session.message   role user: accepted; the request is another row
///     llm_call, kgent_message     llm.tokens, session.message (role assistant)
///     agentese_invoke             agentese.invoke, llm.tokens when a model was asked
///     session_create              session.create
///     storage_write, _read        storage.write, storage.read
///     gpu_seconds                 compute.gpu_seconds
///     embedding                   nothing: our own cost
[[nodiscard]] std::vector<cloud_event> events_of(const sql::usage_record& x);
[[nodiscard]] cloud_event event_of(const sql::billing_record& x);

/// The body of a request with these events.
[[nodiscard]] std::string batch_of(std::span<const cloud_event> events);

}  // namespace kgents::metering
