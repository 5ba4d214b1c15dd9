#include "actors/metering/cloud_event.hpp"

#include <boost/json/object.hpp>
#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>

namespace kgents::metering {

namespace json = boost::json;

namespace {

/// The model of a row that names none.
constexpr std::string_view default_model = "kgent";

cloud_event make(std::string id, std::string_view source, std::string_view type,
                 std::string_view subject, std::string_view time, json::object data) {
  const json::object whole{{"specversion", "1.0"},
                           {"id", id},
                           {"source", source},
                           {"type", type},
                           {"subject", subject},
                           {"time", time},
                           {"datacontenttype", "application/json"},
                           {"data", std::move(data)}};
  return {std::move(id), source, std::string{type}, json::serialize(whole), std::string{subject}};
}

/// The events of one row: the first has its id.
class maker {
public:
  explicit maker(const sql::usage_record& x) : row_{x} {}

  void add(std::string_view type, json::object data) {
    auto id = row_.id.text();
    if (!out_.empty())
      id.append(":").append(type);
    out_.push_back(
        make(std::move(id), usage_source, type, row_.tenant.text(), row_.time, std::move(data)));
  }

  void tokens() {
    json::object data{{"tokens_in", row_.tokens_in},
                      {"tokens_out", row_.tokens_out},
                      {"tokens_total", uint64_t{row_.tokens_in} + row_.tokens_out},
                      {"model", row_.model.value_or(std::string{default_model})}};
    add_session(data);
    add("llm.tokens", std::move(data));
  }

  void message(std::string_view role) {
    json::object data;
    add_session(data);
    if (row_.message_length)
      data["message_length"] = *row_.message_length;
    data["role"] = role;
    add("session.message", std::move(data));
  }

  void request() {
    json::object data{{"endpoint", row_.endpoint.value_or("unmatched")},
                      {"method", row_.method.value_or("GET")}};
    if (row_.status_code)
      data["status_code"] = *row_.status_code;
    data["count"] = row_.quantity;
    add("api.request", std::move(data));
  }

  void invocation() {
    const auto path = row_.agentese_path.value_or("");
    const auto first = path.find('.');
    const auto last = path.rfind('.');
    const bool whole = first != std::string::npos;
    add("agentese.invoke",
        {{"path", path},
         {"context", path.substr(0, first)},
         {"aspect", whole ? path.substr(last + 1) : path},
         {"tokens_used", uint64_t{row_.tokens_in} + row_.tokens_out}});
    if (row_.tokens_in > 0 || row_.tokens_out > 0)
      tokens();
  }

  void session() {
    json::object data;
    add_session(data);
    data["agent_type"] = row_.agent_type.value_or("kgent");
    add("session.create", std::move(data));
  }

  std::vector<cloud_event> take() { return std::move(out_); }

private:
  void add_session(json::object& data) const {
    if (row_.session)
      data["session_id"] = row_.session->text();
  }

  const sql::usage_record& row_;
  std::vector<cloud_event> out_;
};

}  // namespace

std::vector<cloud_event> events_of(const sql::usage_record& x) {
  maker out{x};
  if (x.type == "api_call" && x.source == "api") {
    out.request();
  } else if (x.type == "api_call" && (x.source == "kgent" || x.source == "soul")) {
    out.message("user");
  } else if (x.type == "llm_call" || x.type == "kgent_message") {
    out.tokens();
    out.message("assistant");
  } else if (x.type == "agentese_invoke") {
    out.invocation();
  } else if (x.type == "session_create") {
    out.session();
  } else if (x.type == "storage_write" || x.type == "storage_read") {
    out.add(x.type == "storage_write" ? "storage.write" : "storage.read",
            {{"bytes", x.storage_bytes}});
  } else if (x.type == "gpu_seconds") {
    out.add("compute.gpu_seconds",
            {{"duration_seconds", x.compute_ms / 1000.0}, {"gpu_type", x.model.value_or("unknown")}});
  }
  return out.take();
}

cloud_event event_of(const sql::billing_record& x) {
  boost::system::error_code bad;
  auto data = json::parse(x.data, bad);
  return make(x.id, billing_source, x.type, x.subject, x.time,
              !bad && data.is_object() ? std::move(data.get_object()) : json::object{});
}

std::string batch_of(std::span<const cloud_event> events) {
  size_t bytes = 2;
  for (const auto& x : events)
    bytes += x.body.size() + 1;
  std::string out;
  out.reserve(bytes);
  for (const auto& x : events) {
    out.push_back(out.empty() ? '[' : ',');
    out.append(x.body);
  }
  out.append(out.empty() ? "[]" : "]");
  return out;
}

}  // namespace kgents::metering
