#pragma once

#include <boost/json/object.hpp>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "actors/llm/provider.hpp"
#include "actors/llm/sse_decoder.hpp"

namespace kgents::llm {

/// What one event of a provider's stream means.
struct decoded {
  std::string text;    ///< may end inside a UTF-8 sequence
  bool alive = false;  ///< the model is at work: text, or reasoning that is not shown
  bool over = false;   ///< nothing follows
  std::optional<failure> error;
};

/// One provider's wire format for one answer, from events to text. Pure; a malformed event is no
/// exception but `false`.
class answer_decoder {
public:
  virtual ~answer_decoder() = default;

  [[nodiscard]] virtual bool event(const sse_event& in, decoded& out) = 0;

  /// A whole JSON body, of a provider that does not stream although it was asked to.
  [[nodiscard]] virtual bool document(std::string_view json, decoded& out) = 0;

  /// Filled as the events come. `finish_reason` is empty until the provider has given one.
  completion end;
};

/// Parses a JSON object and hands it over; false when `text` is none. Bytes that are no UTF-8 pass:
/// `delta_text` judges them, since some providers cut code points between two events.
[[nodiscard]] bool with_json_object(std::string_view text,
                                    const std::function<bool(const boost::json::object&)>& use);

/// Members of the wanted type, or null: providers leave out, or send null for, whatever they like.
[[nodiscard]] const boost::json::object* object_in(const boost::json::object& in,
                                                   std::string_view key) noexcept;
[[nodiscard]] std::string_view string_in(const boost::json::object& in,
                                         std::string_view key) noexcept;
[[nodiscard]] std::optional<uint32_t> count_in(const boost::json::object& in,
                                               std::string_view key) noexcept;

/// What an HTTP status other than 2xx means for the answer. `retry_after` is the header's value:
/// seconds or an HTTP date.
[[nodiscard]] failure failure_of_status(std::string_view provider, unsigned status,
                                        std::string_view retry_after,
                                        std::chrono::system_clock::time_point now);

/// What an error object inside a stream means; `kind` is its type or code in words, `status` its
/// number if it has one.
[[nodiscard]] failure failure_of_report(std::string_view provider, std::string_view kind,
                                        unsigned status);

}  // namespace kgents::llm
