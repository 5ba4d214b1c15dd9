#include "actors/llm/anthropic_wire.hpp"

#include <algorithm>
#include <boost/json/array.hpp>
#include <boost/json/serialize.hpp>

namespace kgents::llm {

namespace {

namespace json = boost::json;

constexpr std::string_view white_space = " \t\n\r\f\v";

json::object message(std::string_view role, std::string_view content) {
  return {{"role", json::string_view{role.data(), role.size()}},
          {"content", json::string_view{content.data(), content.size()}}};
}

std::string_view without_trailing_space(std::string_view text) {
  return text.substr(0, text.find_last_not_of(white_space) + 1);  // npos + 1: nothing is left
}

class decoder final : public answer_decoder {
public:
  explicit decoder(std::string_view prefix) {
    const auto sent = without_trailing_space(prefix);
    // Without any visible text there is no prefill: what the model then begins with is no
    // repetition.
    if (!sent.empty())
      unsent_ = prefix.substr(sent.size());
  }

  bool event(const sse_event& in, decoded& out) override {
    return with_json_object(in.data, [&](const json::object& x) {
      const auto type = string_in(x, "type");
      if (type == "content_block_delta") {
        if (const auto* delta = object_in(x, "delta"))
          block_delta(*delta, out);
      } else if (type == "message_start") {
        if (const auto* message = object_in(x, "message"))
          common(*message);
      } else if (type == "message_delta") {
        common(x);
        if (const auto* delta = object_in(x, "delta"))
          common(*delta);
      } else if (type == "message_stop") {
        out.over = true;
        if (end.finish_reason.empty())
          end.finish_reason = "stop";
      } else if (type == "error") {
        report(x, out);
      }
      return true;  // ping, content_block_start, and whatever they add: the API says to ignore it
    });
  }

  bool document(std::string_view body, decoded& out) override {
    return with_json_object(body, [&](const json::object& x) {
      out.over = true;
      if (string_in(x, "type") == "error") {
        report(x, out);
        return true;
      }
      const auto* content = x.if_contains("content");
      if (content == nullptr || !content->is_array())
        return false;
      for (const auto& block : content->get_array())
        if (const auto* part = block.if_object(); part && string_in(*part, "type") == "text")
          out.text += string_in(*part, "text");
      out.alive = true;
      drop_repeated_space(out.text);
      common(x);
      if (end.finish_reason.empty())
        end.finish_reason = "stop";
      return true;
    });
  }

private:
  void block_delta(const json::object& delta, decoded& out) {
    out.alive = true;  // also while it thinks
    if (string_in(delta, "type") != "text_delta")
      return;
    out.text = string_in(delta, "text");
    drop_repeated_space(out.text);
  }

  // The model's own white space instead of what was not sent: equal characters are the same ones,
  // said again.
  void drop_repeated_space(std::string& text) {
    size_t same = 0;
    while (same < text.size() && same < unsent_.size() && text[same] == unsent_[same])
      ++same;
    const bool goes_on = same == text.size();
    text.erase(0, same);
    unsent_ = goes_on ? unsent_.substr(same) : std::string{};
  }

  // A message, a `message_delta` event or its delta: each has some of these members.
  void common(const json::object& x) {
    if (const auto model = string_in(x, "model"); !model.empty())
      end.model = model;
    if (const auto reason = string_in(x, "stop_reason"); !reason.empty())
      end.finish_reason = reason == "max_tokens" ? "length" : "stop";
    const auto* tokens = object_in(x, "usage");
    if (tokens == nullptr)
      return;
    end.tokens.estimated = false;
    if (const auto n = count_in(*tokens, "input_tokens"))
      end.tokens.tokens_in = *n;
    if (const auto n = count_in(*tokens, "output_tokens"))
      end.tokens.tokens_out = *n;
  }

  static void report(const json::object& x, decoded& out) {
    const auto* error = object_in(x, "error");
    const auto kind = error != nullptr ? string_in(*error, "type") : std::string_view{};
    out.error = failure_of_report("anthropic", kind, 0);
  }

  std::string unsent_;
};

}  // namespace

std::string anthropic_request(const prompt& ask, std::string_view model) {
  json::array messages;
  for (const auto& x : ask.messages)
    if (!x.content.empty())  // the API refuses empty ones
      messages.push_back(message(x.role, x.content));
  if (const auto prefix = without_trailing_space(ask.prefix); !prefix.empty())
    messages.push_back(message("assistant", prefix));
  json::object body{
      {"model", json::string_view{model.data(), model.size()}},
      {"messages", std::move(messages)},
      {"stream", true},
      {"temperature", std::clamp(ask.temperature, 0.0, 1.0)},
      {"max_tokens", ask.max_tokens},
  };
  if (!ask.system.empty())
    body["system"] = ask.system;
  return json::serialize(body);
}

std::unique_ptr<answer_decoder> anthropic_decoder(std::string_view prefix) {
  return std::make_unique<decoder>(prefix);
}

}  // namespace kgents::llm
