#include "gateway/program/kg/program.hpp"

#include <unistd.h>

#include <algorithm>
#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>

#include "gateway/program/kg/connection.hpp"
#include "protocol/ids.hpp"

namespace kgents::kg {

namespace json = boost::json;

namespace {

/// A one-shot command waits for a server that is busy or starting, not for one that is not there.
constexpr std::chrono::seconds one_shot_patience{10};

bool harmless_twice(const http_request& x) {
  return x.method != "POST" || x.header_lines.find("Idempotency-Key:") != std::string::npos;
}

}  // namespace

http_answer ask(const program& p, http_request what, std::chrono::seconds silence) {
  patience waits{std::min(p.args.patience, one_shot_patience), static_cast<uint32_t>(::getpid())};
  for (;;) {
    const auto out = p.http.call(what, silence);
    std::optional<std::chrono::milliseconds> wait;
    if (const auto* why = std::get_if<failure>(&out)) {
      if (!never_sent(*why) && harmless_twice(what))
        wait = waits.next(steady::now());
      if (!wait)
        throw unreachable(p, *why);
    } else {
      const auto& answer = std::get<http_answer>(out);
      if (answer.status < 400)
        return answer;
      // The server is starting, full or about to end; or its database did not say in time whether
      // it was done.
      const bool later =
          harmless_twice(what) && answer.status == 503 && answer.retry_after.count() > 0;
      if (later && answer.retry_after < one_shot_patience)
        wait = waits.next(steady::now(), answer.retry_after);
      if (!wait)
        throw refused_by(p, answer);
    }
    pause(p, *wait);
  }
}

json::object ask_object(const program& p, http_request what, std::chrono::seconds silence) {
  const auto answer = ask(p, std::move(what), silence);
  json::error_code error;
  auto value = json::parse(answer.body, error);
  if (error || !value.is_object())
    throw stopped{exit_refused, "the answer of " + p.server + " is not that of a kgents server"};
  return std::move(value.get_object());
}

std::string new_idempotency_key() { return "kg-" + uuid::random().text(); }

std::string idempotency_line(std::string_view key) {
  return "Idempotency-Key: " + std::string{key} + "\r\n";
}

stopped refused_by(const program& p, const http_answer& x) {
  return {exit_refused, problem_text(x, p.args.json)};
}

stopped unreachable(const program& p, failure x) {
  auto text = failure_text(x, p.server);
  if (p.args.json)
    return {exit_unreachable, json::serialize(json::object{{"error", text}, {"status", nullptr}})};
  if (x == failure::tls)
    text += "\n\n    Try: SSL_CERT_FILE=authority.pem kg ..., where the authority is your own";
  else if (x == failure::refused && is_local(p.server))
    text += "\n\n    Try: deploy/local/up starts one";
  else
    text += "\n\n    Try: --server URL, or kg login --server URL";
  return {exit_unreachable, std::move(text)};
}

std::string failure_text(failure x, std::string_view server) {
  const std::string at{server};
  switch (x) {
    case failure::unresolved:
      return "the host of " + at + " is not known";
    case failure::refused:
      return "no server answers at " + at;
    case failure::tls:
      return "no TLS with " + at +
             ": it speaks none, or its certificate is not that host's or of no known authority";
    case failure::cut:
      return "the connection to " + at + " broke";
    case failure::malformed:
      return "what answers at " + at + " does not speak HTTP";
    case failure::silent:
      return at + " says nothing";
    case failure::too_large:
      break;
  }
  return "the answer of " + at + " is too long";
}

void pause(const program& p, std::chrono::milliseconds time) {
  p.http.loop().until([] { return false; }, steady::now() + time);
}

patience new_patience(const program& p) {
  return {p.args.patience, static_cast<uint32_t>(uuid::random().bytes[0] << 8 | ::getpid())};
}

}  // namespace kgents::kg
