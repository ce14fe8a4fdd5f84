import com.sun.net.httpserver.HttpServer;
import java.net.InetSocketAddress;
import java.util.stream.IntStream;

public class Hello {
    public static void main(String[] words) throws Exception {
        long most = Runtime.getRuntime().maxMemory() >> 20;
        if (most > 256) throw new Error("a heap of " + most + " MiB, with a limit of 512");
        long sum = IntStream.range(0, 1000000).parallel().asLongStream().sum();
        HttpServer server = HttpServer.create(new InetSocketAddress(8080), 0);
        server.createContext("/", exchange -> {
            byte[] body = ("sum " + sum).getBytes();
            exchange.sendResponseHeaders(200, body.length);
            exchange.getResponseBody().write(body);
            exchange.close();
        });
        server.start();
    }
}
