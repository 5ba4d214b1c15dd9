#include "actors/llm/http_provider.hpp"

#include <algorithm>
#include <stdexcept>

#include "actors/llm/anthropic_wire.hpp"
#include "actors/llm/http_answer.hpp"
#include "actors/llm/openai_wire.hpp"

namespace kgents::llm {

namespace {

/// An answer may have this many bytes for each token that was allowed (a token has four on average,
/// sixteen hardly ever), and at least a mebibyte: more is a provider that does not end.
constexpr size_t max_bytes_per_token = 16;
constexpr size_t min_text_room_bytes = 1024 * 1024;

/// What sets one wire format apart.
struct wire_format {
  std::string_view name;
  std::string_view path;
  std::string (*fields)(const std::string& api_key);
  std::string (*request)(const prompt&, std::string_view model);
  std::unique_ptr<answer_decoder> (*decoder)(const prompt&);
};

constexpr wire_format openai{"openai", "/chat/completions",
                             [](const std::string& key) {
                               return key.empty() ? std::string{}
                                                  : "Authorization: Bearer " + key + "\r\n";
                             },
                             openai_request, [](const prompt&) { return openai_decoder(); }};

constexpr wire_format anthropic{
    "anthropic", "/v1/messages",
    [](const std::string& key) {
      return (key.empty() ? std::string{} : "x-api-key: " + key + "\r\n") +
             "anthropic-version: 2023-06-01\r\n";
    },
    anthropic_request, [](const prompt& ask) { return anthropic_decoder(ask.prefix); }};

bool is_printable_ascii(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return c > ' ' && c < '\x7f'; });
}

uint32_t estimated_tokens_in(const prompt& ask) {
  word_counter words;
  words.add(ask.system);
  for (const auto& x : ask.messages) {
    words.inside = false;
    words.add(x.content);
  }
  words.inside = false;
  words.add(ask.prefix);
  return 2 * words.words;
}

class http_stream final : public stream {
public:
  explicit http_stream(std::shared_ptr<http_answer> answer) : answer_{std::move(answer)} {}
  ~http_stream() override { answer_->close(); }
  void grant(uint32_t n) override { answer_->grant(n); }

private:
  std::shared_ptr<http_answer> answer_;
};

class http_provider final : public provider {
public:
  http_provider(const wire_format& format, const http_provider_options& options)
      : format_{format}, model_{options.model}, limits_{options.limits} {
    const auto url = parse_http_url(options.base_url);
    if (!url)
      throw std::invalid_argument{
          std::string{format.name} +
          ": the base URL must be http://host[:port][/path] or https://host[:port][/path], not '" +
          options.base_url + "'"};
    if (!is_printable_ascii(options.api_key.reveal()))
      throw std::invalid_argument{std::string{format.name} +
                                  ": the API key must consist of printable ASCII characters"};
    if (options.model.empty())
      throw std::invalid_argument{std::string{format.name} + ": a model must be named"};
    url_ = *url;
    if (url_.tls)
      tls_ = make_tls_client(options.ca_file);
    head_ = "POST " + url_.path + std::string{format.path} +
            " HTTP/1.1\r\nHost: " + url_.authority() + "\r\n" +
            format.fields(options.api_key.reveal()) +
            "Content-Type: application/json\r\nAccept: text/event-stream, application/json\r\n"
            "Accept-Encoding: identity\r\nUser-Agent: kgents/" KGENTS_VERSION
            "\r\nConnection: close\r\nContent-Length: ";
  }

  std::string_view name() const noexcept override { return format_.name; }
  std::string_view model() const noexcept override { return model_; }

  std::unique_ptr<stream> start(runtime::io_thread& thread, prompt ask, sink out) override {
    const auto body = format_.request(ask, model_);
    answer_setup setup{std::string{name()}, model_, limits_,
                       std::max(ask.max_tokens * max_bytes_per_token, min_text_room_bytes),
                       estimated_tokens_in(ask)};
    auto answer = std::make_shared<http_answer>(thread, std::move(setup), format_.decoder(ask),
                                                std::move(out));
    answer->start(url_, tls_, head_ + std::to_string(body.size()) + "\r\n\r\n" + body);
    return std::make_unique<http_stream>(std::move(answer));
  }

private:
  const wire_format& format_;
  std::string model_;
  timeouts limits_;
  http_url url_;
  std::shared_ptr<boost::asio::ssl::context> tls_;  // shared by all threads, not changed any more
  std::string head_;
};

}  // namespace

std::shared_ptr<provider> make_openai_provider(const http_provider_options& options) {
  return std::make_shared<http_provider>(openai, options);
}

std::shared_ptr<provider> make_anthropic_provider(const http_provider_options& options) {
  return std::make_shared<http_provider>(anthropic, options);
}

}  // namespace kgents::llm
