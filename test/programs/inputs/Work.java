// SPDX-License-Identifier: MIT
// Collections for the Java heap; the compiler, class loading, threads and direct buffers for malloc.
import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.List;
import java.util.TreeMap;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.zip.CRC32;
import java.util.zip.Deflater;

public class Work {
  static long part(int seed) {
    TreeMap<String, List<Integer>> map = new TreeMap<>();
    for (int n = 0; n < 30000; n++) {
      map.computeIfAbsent("key" + (n * 7919L + seed) % 997, k -> new ArrayList<>()).add(n);
    }
    CRC32 sum = new CRC32();
    map.forEach((key, list) -> sum.update((key + list.size() + list.get(0)).getBytes()));
    byte[] output = new byte[200000];
    for (int size = 1000; size < 60000; size += 1000) {
      ByteBuffer direct = ByteBuffer.allocateDirect(size);
      while (direct.remaining() >= 4) direct.putInt(size * 31 + direct.position());
      direct.flip();
      Deflater deflater = new Deflater();
      deflater.setInput(direct);
      deflater.finish();
      sum.update(output, 0, deflater.deflate(output));
      deflater.end();
    }
    return sum.getValue();
  }

  public static void main(String[] arguments) throws Exception {
    ExecutorService pool = Executors.newFixedThreadPool(4);
    List<Future<Long>> parts = new ArrayList<>();
    for (int n = 0; n < Integer.parseInt(arguments[0]); n++) {
      final int seed = n;
      parts.add(pool.submit(() -> part(seed)));
    }
    for (Future<Long> result : parts) System.out.println(result.get());
    pool.shutdown();
  }
}
