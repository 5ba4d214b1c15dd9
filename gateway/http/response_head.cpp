#include "gateway/http/response_head.hpp"

#include <charconv>
#include <cstdio>

namespace kgents::gateway::http {

namespace {

void append_number(std::string& to, uint64_t x) {
  char digits[20];
  to.append(digits, std::to_chars(digits, digits + sizeof(digits), x).ptr);
}

}  // namespace

std::string_view reason_phrase(unsigned status) noexcept {
  switch (status) {
    case 100:
      return "Continue";
    case 101:
      return "Switching Protocols";
    case 200:
      return "OK";
    case 201:
      return "Created";
    case 202:
      return "Accepted";
    case 204:
      return "No Content";
    case 206:
      return "Partial Content";
    case 301:
      return "Moved Permanently";
    case 302:
      return "Found";
    case 303:
      return "See Other";
    case 304:
      return "Not Modified";
    case 307:
      return "Temporary Redirect";
    case 308:
      return "Permanent Redirect";
    case 400:
      return "Bad Request";
    case 401:
      return "Unauthorized";
    case 402:
      return "Payment Required";
    case 403:
      return "Forbidden";
    case 404:
      return "Not Found";
    case 405:
      return "Method Not Allowed";
    case 406:
      return "Not Acceptable";
    case 408:
      return "Request Timeout";
    case 409:
      return "Conflict";
    case 410:
      return "Gone";
    case 411:
      return "Length Required";
    case 412:
      return "Precondition Failed";
    case 413:
      return "Content Too Large";
    case 414:
      return "URI Too Long";
    case 415:
      return "Unsupported Media Type";
    case 417:
      return "Expectation Failed";
    case 422:
      return "Unprocessable Content";
    case 423:
      return "Locked";
    case 426:
      return "Upgrade Required";
    case 428:
      return "Precondition Required";
    case 429:
      return "Too Many Requests";
    case 431:
      return "Request Header Fields Too Large";
    case 500:
      return "Internal Server Error";
    case 501:
      return "Not Implemented";
    case 502:
      return "Bad Gateway";
    case 503:
      return "Service Unavailable";
    case 504:
      return "Gateway Timeout";
    case 505:
      return "HTTP Version Not Supported";
    default:
      return "Unknown";
  }
}

void append_head(std::string& to, const response& x, const head_options& how) {
  to += "HTTP/1.1 ";
  append_number(to, x.status);
  to += ' ';
  to += reason_phrase(x.status);
  to += "\r\nDate: ";
  to += how.date;
  if (how.how != framing::none && !x.content_type.empty()) {
    to += "\r\nContent-Type: ";
    to += x.content_type;
  }
  if (how.how == framing::content_length) {
    to += "\r\nContent-Length: ";
    append_number(to, how.content_length);
  } else if (how.how == framing::chunked) {
    to += "\r\nTransfer-Encoding: chunked";
  }
  if (x.status == 101)
    to += "\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n";
  else if (!how.keep_alive)
    to += "\r\nConnection: close\r\n";
  else
    to += how.http11 ? "\r\n" : "\r\nConnection: keep-alive\r\n";
  to += x.header_lines;
  to += "\r\n";
}

std::string date_text::format(std::time_t t) {
  static constexpr const char* days[] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
  static constexpr const char* months[] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                           "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
  std::tm parts{};
  gmtime_r(&t, &parts);
  char text[64];  // not strftime: its names follow the locale
  const int size = std::snprintf(text, sizeof(text), "%s, %02d %s %04d %02d:%02d:%02d GMT",
                                 days[parts.tm_wday], parts.tm_mday, months[parts.tm_mon],
                                 parts.tm_year + 1900, parts.tm_hour, parts.tm_min, parts.tm_sec);
  return {text, static_cast<size_t>(size)};
}

std::string_view date_text::now() {
  std::timespec now{};
  clock_gettime(CLOCK_REALTIME_COARSE, &now);
  if (now.tv_sec != at_) {
    at_ = now.tv_sec;
    text_ = format(at_);
  }
  return text_;
}

}  // namespace kgents::gateway::http
