#include "actors/cdc/qdrant.hpp"

#include <boost/json/array.hpp>
#include <boost/json/serialize.hpp>

namespace kgents::cdc {

namespace json = boost::json;

namespace {

/// A batch of 100 vectors takes tens of milliseconds; one that hangs must not outlast the claim.
constexpr std::chrono::milliseconds deadline{8'000};

std::string key_line(const runtime::secret& key) {
  return "Content-Type: application/json\r\n" +
         (key.empty() ? std::string{} : "api-key: " + key.reveal() + "\r\n");
}

json::array ids_of(const std::vector<uuid>& ids) {
  json::array out;
  for (const auto& x : ids)
    out.emplace_back(x.text());
  return out;
}

json::array numbers(const std::vector<float>& vector) {
  json::array out;
  out.reserve(vector.size());
  for (const auto x : vector)
    out.emplace_back(static_cast<double>(x));
  return out;
}

std::string_view text_at(const json::object& x, std::string_view name) {
  const auto* found = x.if_contains(name);
  return found != nullptr && found->is_string() ? std::string_view{found->get_string()}
                                                : std::string_view{};
}

/// Follows names down from `x`; null where one is missing.
const json::value* at(const json::value& x, std::initializer_list<std::string_view> names) {
  const auto* here = &x;
  for (const auto name : names) {
    const auto* object = here->if_object();
    here = object == nullptr ? nullptr : object->if_contains(name);
    if (here == nullptr)
      return nullptr;
  }
  return here;
}

const json::array& list_at(const json::value& x, std::initializer_list<std::string_view> names) {
  static const json::array none;
  const auto* found = at(x, names);
  return found != nullptr && found->is_array() ? found->get_array() : none;
}

std::optional<stored_point> stored(const json::value& x) {
  const auto* point = x.if_object();
  if (point == nullptr)
    return std::nullopt;
  const auto id = uuid::parse(text_at(*point, "id"));
  const auto* payload = at(x, {"payload"});
  if (!id || payload == nullptr || !payload->is_object())
    return std::nullopt;
  const auto tenant = tenant_id::parse(text_at(payload->get_object(), "tenant_id"));
  return stored_point{*id, tenant.value_or(tenant_id{}),
                      std::string{text_at(payload->get_object(), "row_id")}};
}

/// Why a collection that exists does not fit; empty: it does.
std::string misfit(const json::value& collection, uint32_t dimension) {
  const auto* size = at(collection, {"result", "config", "params", "vectors", "size"});
  if (size == nullptr || !size->is_int64() || size->get_int64() == dimension)
    return "";
  return "Qdrant's collection has vectors of " + std::to_string(size->get_int64()) +
         " numbers, EMBEDDING_DIMENSION is " + std::to_string(dimension);
}

std::optional<trouble> trouble_of(answered x) {
  auto* why = std::get_if<trouble>(&x);
  return why == nullptr ? std::nullopt : std::optional{std::move(*why)};
}

}  // namespace

std::string batch_body(const std::vector<point_write>& writes, const std::vector<uuid>& deletes) {
  json::array points;
  json::array operations;
  for (const auto& x : writes) {
    if (x.vector.empty())
      operations.push_back(
          json::object{{"overwrite_payload", json::object{{"payload", x.payload},
                                                          {"points", json::array{x.id.text()}}}}});
    else
      points.push_back(
          json::object{{"id", x.id.text()}, {"vector", numbers(x.vector)}, {"payload", x.payload}});
  }
  if (!points.empty())
    operations.push_back(json::object{{"upsert", json::object{{"points", std::move(points)}}}});
  if (!deletes.empty())
    operations.push_back(json::object{{"delete", json::object{{"points", ids_of(deletes)}}}});
  return json::serialize(json::object{{"operations", std::move(operations)}});
}

std::string search_body(tenant_id tenant, const std::vector<float>& vector, size_t most) {
  const json::object its{{"key", "tenant_id"}, {"match", json::object{{"value", tenant.text()}}}};
  json::array must;
  must.push_back(its);
  return json::serialize(json::object{{"vector", numbers(vector)},
                                      {"limit", most},
                                      {"with_payload", true},
                                      {"filter", json::object{{"must", std::move(must)}}}});
}

qdrant::qdrant(runtime::io_thread& thread, const runtime::cdc_settings& how)
    : service_{thread, "Qdrant", how.qdrant_url, key_line(how.qdrant_api_key), deadline},
      name_{how.collection},
      dimension_{how.embedding_dimension} {}

std::string qdrant::collection_of(std::string_view table) const {
  return table == "memories" ? name_ : name_ + "_" + std::string{table};
}

std::string qdrant::path(std::string_view table, std::string_view rest) const {
  return "/collections/" + outbound::url_escaped(collection_of(table)) + std::string{rest};
}

trouble qdrant::note(std::string_view table, trouble why) {
  if (why.status == 404) {
    if (const auto found = ready_.find(table); found != ready_.end())
      ready_.erase(found);
    why.away = true;
  }
  return why;
}

task<std::optional<trouble>> qdrant::probe() {
  auto asked = service_.call("GET", "/collections", "");
  auto got = co_await asked;
  co_return trouble_of(std::move(got));
}

task<std::optional<trouble>> qdrant::ensure(std::string table) {
  if (ready_.contains(table))
    co_return std::nullopt;
  auto looked = service_.call("GET", path(table), "");
  const auto found = co_await looked;
  if (const auto* why = std::get_if<trouble>(&found)) {
    if (why->status != 404)
      co_return *why;
    const json::object vectors{{"size", dimension_}, {"distance", "Cosine"}};
    const json::object wanted{{"vectors", vectors}};
    auto made = service_.call("PUT", path(table), json::serialize(wanted));
    auto answer = co_await made;
    if (auto wrong = trouble_of(std::move(answer))) {
      // Another worker's life may have made it meanwhile: the next look decides.
      wrong->away = true;
      co_return wrong;
    }
  } else if (auto wrong = misfit(std::get<json::value>(found), dimension_); !wrong.empty()) {
    trouble out;
    out.error = std::move(wrong);
    out.away = true;
    co_return out;
  }
  const json::object index{{"field_name", "tenant_id"}, {"field_schema", "keyword"}};
  auto indexed = service_.call("PUT", path(table, "/index?wait=true"), json::serialize(index));
  auto answer = co_await indexed;
  if (auto wrong = trouble_of(std::move(answer))) {
    wrong->away = true;
    co_return wrong;
  }
  ready_.insert(table);
  co_return std::nullopt;
}

task<std::variant<qdrant::texts, trouble>> qdrant::stored_texts(std::string table,
                                                                std::vector<uuid> ids) {
  json::array fields;
  fields.emplace_back("content_sha256");
  const json::object ask{
      {"ids", ids_of(ids)}, {"with_payload", std::move(fields)}, {"with_vector", false}};
  auto asked = service_.call("POST", path(table, "/points"), json::serialize(ask));
  auto got = co_await asked;
  if (auto* why = std::get_if<trouble>(&got))
    co_return note(table, std::move(*why));
  texts out;
  for (const auto& x : list_at(std::get<json::value>(got), {"result"})) {
    const auto* id = at(x, {"id"});
    const auto* sha256 = at(x, {"payload", "content_sha256"});
    if (id == nullptr || !id->is_string() || sha256 == nullptr || !sha256->is_string())
      continue;
    if (const auto parsed = uuid::parse(id->get_string()))
      out.emplace(*parsed, std::string{std::string_view{sha256->get_string()}});
  }
  co_return out;
}

task<std::optional<trouble>> qdrant::write(std::string table, std::vector<point_write> writes,
                                           std::vector<uuid> deletes) {
  auto asked =
      service_.call("POST", path(table, "/points/batch?wait=true"), batch_body(writes, deletes));
  auto got = co_await asked;
  auto wrong = trouble_of(std::move(got));
  if (wrong)
    wrong = note(table, std::move(*wrong));
  co_return wrong;
}

task<std::variant<point_page, trouble>> qdrant::scroll(std::string table,
                                                       std::optional<std::string> after,
                                                       size_t most) {
  json::array fields;
  fields.emplace_back("tenant_id");
  fields.emplace_back("row_id");
  json::object ask{{"limit", most}, {"with_payload", std::move(fields)}, {"with_vector", false}};
  if (after)
    ask["offset"] = *after;
  auto asked = service_.call("POST", path(table, "/points/scroll"), json::serialize(ask));
  auto got = co_await asked;
  if (auto* why = std::get_if<trouble>(&got))
    co_return note(table, std::move(*why));
  const auto& answer = std::get<json::value>(got);
  point_page out;
  for (const auto& x : list_at(answer, {"result", "points"}))
    if (auto point = stored(x))
      out.points.push_back(std::move(*point));
  const auto* next = at(answer, {"result", "next_page_offset"});
  if (next != nullptr && next->is_string())
    out.next = std::string{std::string_view{next->get_string()}};
  co_return out;
}

task<answered> qdrant::search(std::string table, tenant_id tenant, std::vector<float> vector,
                              size_t most) {
  auto asked =
      service_.call("POST", path(table, "/points/search"), search_body(tenant, vector, most));
  auto got = co_await asked;
  if (auto* why = std::get_if<trouble>(&got))
    co_return note(table, std::move(*why));
  co_return std::get<json::value>(std::move(got)).at("result");
}

}  // namespace kgents::cdc
