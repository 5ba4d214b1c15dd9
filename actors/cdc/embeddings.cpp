#include "actors/cdc/embeddings.hpp"

#include <algorithm>
#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>

#include "actors/cdc/point.hpp"

namespace kgents::cdc {

namespace json = boost::json;

namespace {

using clock = std::chrono::steady_clock;
using embedded = std::variant<vectors, trouble>;

/// 64 texts take about a second.
constexpr std::chrono::milliseconds deadline{8'000};

/// data.md 11.1.
runtime::breaker_limits limits() {
  runtime::breaker_limits out;
  out.failures_to_open = 3;
  out.successes_to_close = 1;
  out.open_for = std::chrono::seconds{60};
  return out;
}

trouble malformed() {
  trouble out;
  out.error = "the embeddings endpoint answered something else than a vector for each text";
  return out;
}

bool read_vector(const json::value& from, std::vector<float>& out) {
  const auto* numbers = from.if_array();
  if (numbers == nullptr || numbers->size() != out.size())
    return false;
  for (size_t i = 0; i < out.size(); ++i) {
    boost::system::error_code wrong;
    out[i] = (*numbers)[i].to_number<float>(wrong);
    if (wrong)
      return false;
  }
  return true;
}

}  // namespace

embedded read_embeddings(const json::value& answer, size_t texts, size_t dimension) {
  const auto* object = answer.if_object();
  const auto* data = object == nullptr ? nullptr : object->if_contains("data");
  if (data == nullptr || !data->is_array() || data->get_array().size() != texts)
    return malformed();
  vectors out(texts);
  for (const auto& x : data->get_array()) {
    const auto* item = x.if_object();
    const auto* place = item == nullptr ? nullptr : item->if_contains("index");
    const auto* numbers = item == nullptr ? nullptr : item->if_contains("embedding");
    if (place == nullptr || numbers == nullptr || !place->is_int64())
      return malformed();
    const auto i = place->get_int64();
    if (i < 0 || static_cast<size_t>(i) >= texts || !out[static_cast<size_t>(i)].empty())
      return malformed();
    auto& vector = out[static_cast<size_t>(i)];
    vector.resize(dimension);
    if (!read_vector(*numbers, vector))
      return malformed();
  }
  return out;
}

embeddings::embeddings(runtime::io_thread& thread, const runtime::cdc_settings& how,
                       const runtime::provider_settings& openai)
    : model_{how.embedding_model}, dimension_{how.embedding_dimension}, breaker_{limits()} {
  if (how.embedding_provider == "openai")
    service_ = std::make_unique<service>(
        thread, "the embeddings endpoint", openai.base_url,
        "Content-Type: application/json\r\n" +
            (openai.api_key.empty() ? std::string{}
                                    : "Authorization: Bearer " + openai.api_key.reveal() + "\r\n"),
        deadline);
}

task<embedded> embeddings::embed(std::vector<std::string> texts) {
  vectors out;
  out.reserve(texts.size());
  if (service_ == nullptr) {
    for (const auto& x : texts)
      out.push_back(mock_embedding(x, dimension_));
    co_return out;
  }
  for (size_t from = 0; from < texts.size(); from += texts_per_call) {
    const auto to = std::min(from + texts_per_call, texts.size());
    std::vector<std::string> part(std::make_move_iterator(texts.begin() + static_cast<long>(from)),
                                  std::make_move_iterator(texts.begin() + static_cast<long>(to)));
    auto asked = ask(std::move(part));
    auto got = co_await asked;
    if (auto* why = std::get_if<trouble>(&got))
      co_return std::move(*why);
    for (auto& x : std::get<vectors>(got))
      out.push_back(std::move(x));
  }
  co_return out;
}

task<embedded> embeddings::ask(std::vector<std::string> texts) {
  if (!breaker_.admits(clock::now())) {
    trouble out;
    out.error = "the embeddings endpoint failed too often; it is left alone for a minute";
    out.away = true;
    co_return out;
  }
  json::array input;
  for (const auto& x : texts)
    input.emplace_back(x);
  const json::object body{{"model", model_}, {"input", std::move(input)}};
  auto asked = service_->call("POST", "/embeddings", json::serialize(body));
  const auto got = co_await asked;
  if (const auto* why = std::get_if<trouble>(&got)) {
    // A text that it will not take says nothing about the endpoint.
    if (why->away || why->status == 0 || why->status >= 500)
      breaker_.failed(clock::now());
    else
      breaker_.succeeded();
    co_return *why;
  }
  auto out = read_embeddings(std::get<json::value>(got), texts.size(), dimension_);
  if (std::holds_alternative<trouble>(out))
    breaker_.failed(clock::now());
  else
    breaker_.succeeded();
  co_return out;
}

}  // namespace kgents::cdc
