#include "gateway/agentese/frames.hpp"

#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>

namespace kgents::gateway {

namespace json = boost::json;

namespace {

uint32_t ms_since(std::chrono::steady_clock::time_point began) {
  return static_cast<uint32_t>(std::chrono::duration_cast<std::chrono::milliseconds>(
                                   std::chrono::steady_clock::now() - began)
                                   .count());
}

std::string frame_of(std::string_view name, std::string_view id, std::string_view data) {
  std::string out;
  out.reserve(name.size() + id.size() + data.size() + 32);
  if (!name.empty()) {
    out += "event: ";
    out += name;
    out += '\n';
  }
  if (!id.empty()) {
    out += "id: ";
    out += id;
    out += '\n';
  }
  out += "data: ";
  out += data;
  out += "\n\n";
  return out;
}

std::string text_of(const json::value& x) {
  return x.is_string() ? std::string{x.get_string()} : json::serialize(x);
}

/// What an answer says, if it says something in words.
const json::value* words_of(const json::value& x) {
  const auto* object = x.if_object();
  const auto* words = object == nullptr ? nullptr : object->if_contains("response");
  return words != nullptr && words->is_string() ? words : nullptr;
}

}  // namespace

std::vector<stream_piece> pieces_of(std::string_view result) {
  json::error_code error;
  const auto value = json::parse(result, error);
  if (error)
    return {{"response", std::string{result}, false}};
  if (const auto* object = value.if_object()) {
    const auto* thesis = object->if_contains("thesis");
    const auto* antithesis = object->if_contains("antithesis");
    const auto* synthesis = object->if_contains("synthesis");
    if (thesis != nullptr && antithesis != nullptr && synthesis != nullptr)
      return {{"thinking", text_of(*thesis), true},
              {"thinking", text_of(*antithesis), true},
              {"response", text_of(*synthesis), false}};
  }
  const auto* words = words_of(value);
  return {{"response", text_of(words != nullptr ? *words : value), false}};
}

std::string chunk_json(const stream_piece& x, int64_t index) {
  std::string out = R"({"type":)";
  append_json_string(out, x.type);
  out += R"(,"content":)";
  append_json_string(out, x.content);
  out += x.partial ? R"(,"partial":true,"index":)" : R"(,"partial":false,"index":)";
  out += std::to_string(index) + '}';
  return out;
}

std::string done_json(const stream_end& x, bool typed) {
  std::string out = typed ? R"({"type":"done","result":)" : R"({"result":)";
  out += x.result;
  out += R"(,"span_id":)";
  append_json_string(out, x.span_id);
  out += R"(,"chunks_count":)" + std::to_string(x.chunks);
  out += R"(,"duration_ms":)" + std::to_string(x.duration_ms) + '}';
  return out;
}

std::string chunk_frame(stream_dialect how, const stream_piece& x, int64_t index,
                        std::string_view id) {
  return frame_of(how == stream_dialect::universal ? "chunk" : "", id, chunk_json(x, index));
}

std::string done_frame(stream_dialect how, const stream_end& x, std::string_view id) {
  const bool named = how == stream_dialect::universal;
  return frame_of(named ? "done" : "", id, done_json(x, !named));
}

std::string error_frame(const problem& x, std::string_view id) {
  return frame_of("error", id, json::serialize(x.body.at("detail")));
}

agentese::error error_of_turn(std::string_view path, const turn_end& end) {
  auto out =
      end.error_type == "internal"
          ? agentese::errors::internal(path)
          : agentese::errors::unavailable(path, end.error, std::max(1u, end.retry_after_seconds));
  if (end.error_type == "provider_timeout") {
    out.category = agentese::category::timeout;
    out.code = "TIMEOUT";
  }
  out.details["type"] = end.error_type;
  return out;
}

problem stream_problem(stream_dialect how, const agentese::error& x, std::string_view span_id) {
  return how == stream_dialect::universal ? universal_problem(x, span_id) : gateway_problem(x, "");
}

std::string span_of(turn_id turn) {
  auto text = turn.text();
  std::erase(text, '-');
  return text.substr(text.size() - 16);
}

std::string aspect_framing::frame(const stream_event& x) {
  const auto id = x.place().text();
  const auto index = x.place().index;
  switch (x.kind()) {
    case event_kind::turn:
      return {};
    case event_kind::chunk:
      return chunk_frame(how_, {"response", x.text, true}, index, id);
    case event_kind::complete: {
      std::string result;
      append_json_string(result, x.end->text);
      const auto span = span_of(x.place().turn);
      return done_frame(how_, {result, span, static_cast<size_t>(index), ms_since(began_)}, id);
    }
    case event_kind::error:
      return error_frame(
          stream_problem(how_, error_of_turn(path_, *x.end), span_of(x.place().turn)), id);
    case event_kind::gap:
      break;
  }
  return std::string{x.sse()};
}

}  // namespace kgents::gateway
