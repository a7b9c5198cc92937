// SPDX-License-Identifier: MIT
// A Rust program whose global allocator is mi_*: collections, threads, big alignments.  It says what it computed and
// whether every block it looked at is the library's.
use std::alloc::{GlobalAlloc, Layout};
use std::collections::{BTreeMap, HashMap};
use std::ffi::c_void;
use std::thread;

extern "C" {
    fn mi_malloc_aligned(size: usize, alignment: usize) -> *mut c_void;
    fn mi_zalloc_aligned(size: usize, alignment: usize) -> *mut c_void;
    fn mi_realloc_aligned(p: *mut c_void, size: usize, alignment: usize) -> *mut c_void;
    fn mi_free_size_aligned(p: *mut c_void, size: usize, alignment: usize);
    fn mi_is_in_heap_region(p: *const c_void) -> bool;
}

struct Mimalloc;

unsafe impl GlobalAlloc for Mimalloc {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        mi_malloc_aligned(layout.size(), layout.align()) as *mut u8
    }
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        mi_zalloc_aligned(layout.size(), layout.align()) as *mut u8
    }
    unsafe fn realloc(&self, p: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        mi_realloc_aligned(p as *mut c_void, size, layout.align()) as *mut u8
    }
    unsafe fn dealloc(&self, p: *mut u8, layout: Layout) {
        mi_free_size_aligned(p as *mut c_void, layout.size(), layout.align())
    }
}

#[global_allocator]
static GLOBAL: Mimalloc = Mimalloc;

#[repr(align(4096))]
struct Page([u8; 4096]);

fn ours<T>(p: *const T) -> bool {
    unsafe { mi_is_in_heap_region(p as *const c_void) }
}

fn work(seed: usize) -> (usize, bool) {
    let mut sum = 0;
    let mut served = true;
    let mut words: HashMap<usize, String> = HashMap::new();
    let mut order = BTreeMap::new();
    for i in 0..5000 {
        let word = "x".repeat((i * seed) % 300 + 1);
        served &= ours(word.as_ptr());
        sum += word.len();
        words.insert(i, word);
        order.insert(i * 7 % 5000, vec![i as u64; i % 50 + 1]);
    }
    for i in (0..5000).step_by(2) {
        sum -= words.remove(&i).unwrap().len();
    }
    let mut page = Box::new(Page([0; 4096]));
    page.0[4095] = 1;
    served &= ours(&*page) && (&*page as *const Page as usize) % 4096 == 0;
    let zero = vec![0u8; 1 << 20];
    served &= zero.iter().all(|byte| *byte == 0);
    (sum + order.values().map(|v| v.len()).sum::<usize>(), served)
}

fn main() {
    let threads: Vec<_> = (1..5).map(|seed| thread::spawn(move || work(seed))).collect();
    let results: Vec<_> = threads.into_iter().map(|t| t.join().unwrap()).collect();
    let served = results.iter().all(|result| result.1);
    let sums: Vec<_> = results.iter().map(|result| result.0.to_string()).collect();
    println!("{} {}", sums.join(" "), if served { "served by mimalloc" } else { "not served" });
}
