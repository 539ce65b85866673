#pragma once

#include <map>
#include <string>

#include <boost/asio.hpp>
#include <boost/beast.hpp>
#include <nlohmann/json.hpp>

namespace interplay::testing {

struct HttpAnswer {
  int status = 0;
  std::string body;
  std::map<std::string, std::string> headers;
  nlohmann::json json() const { return nlohmann::json::parse(body); }
};

/// A connection to a server of this machine, request after request.
class HttpClient {
 public:
  explicit HttpClient(int port) : socket_(io_) {
    socket_.connect({boost::asio::ip::address_v4::loopback(), uint16_t(port)});
  }

  HttpAnswer get(const std::string& target) { return ask("GET", target, "", {}); }
  HttpAnswer post(const std::string& target, const std::string& body,
                  const std::map<std::string, std::string>& headers = {}) {
    return ask("POST", target, body, headers);
  }

 private:
  HttpAnswer ask(const std::string& method, const std::string& target, const std::string& body,
                 const std::map<std::string, std::string>& headers) {
    namespace http = boost::beast::http;
    http::request<http::string_body> request{http::string_to_verb(method), target, 11};
    request.set(http::field::host, "localhost");
    for (const auto& [name, value] : headers) request.set(name, value);
    request.body() = body;
    request.prepare_payload();
    http::write(socket_, request);
    http::response<http::string_body> response;
    http::read(socket_, buffer_, response);
    HttpAnswer out{int(response.result_int()), response.body(), {}};
    for (const auto& field : response) out.headers[std::string(field.name_string())] = std::string(field.value());
    return out;
  }

  boost::asio::io_context io_;
  boost::asio::ip::tcp::socket socket_;
  boost::beast::flat_buffer buffer_;
};

}  // namespace interplay::testing
