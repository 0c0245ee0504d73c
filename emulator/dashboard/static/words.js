// Every word of the page, in both languages.
const WORDS = {
  en: {
    title: "Eco² · system", skip: "Skip to content", pages: "Pages", system: "System", functions: "Functions", requests: "Requests", tasks: "Tasks",
    data: "Data", try: "Try it", language: "한국어", theme_dark: "Dark", theme_light: "Light", loading: "Loading…", failed: "That did not work",
    retry: "Try again", close: "Close", system_lead: "Every part that runs on this machine, as it is connected. Choose one to read its log, restart it or break it.",
    parts: "parts", ready: "ready", memory: "memory", clock: "clock ahead", restarts: "restarts", address: "address", state: "state", pid: "process",
    version: "versions", restart: "Restart", kill: "Kill", pause: "Pause", resume: "Go on", log: "Log", faults: "Faults", no_faults: "No fault holds.",
    add_fault: "Begin a fault", clear_faults: "End all faults", kind: "Kind", amount: "Amount (300ms±100, 50KB/s, 5%)", seconds: "For seconds",
    from_part: "Only from (optional)", target: "Connection to", advance: "Move the clock", minutes: "minutes", troubles: "Troubles", map: "The parts and their connections",
    functions_lead: "One file, one trigger. Choose a function to read what it takes, and call it as anybody.", filter: "Filter", call: "Call", as_user: "As user (made at first use; empty: nobody)",
    body: "Body (JSON)", parameters: "Parameters", answer: "Answer", did: "What it did", nothing_did: "It touched nothing that is recorded.", role: "role", file: "file", trigger: "trigger",
    not_http: "It has no address: it runs by itself when its queue, schedule or command calls it.", pick_function: "Choose a function on the left.", bad_json: "The body is no JSON",
    requests_lead: "Requests as they come. Choose one to see its way through the system.", no_requests: "No request yet. Call a function, or use Try it.", live: "Live", route: "Request",
    status: "Status", time: "Time", service: "Service", curl: "Copy as curl", again: "Run again", copied: "Copied.", timeline: "Its way", pick_request: "Choose a request.",
    tasks_lead: "Accepted work on its way: accepted, published, journalled, done, returned, synced.", no_tasks: "No task yet. Analyse a photo under Try it.", task: "Task", way: "Its way",
    sync_now: "Sync now", retry_task: "Retry", release: "Release", waiting: "Rows not yet in PostgreSQL", age: "Age of the oldest (s)", error: "Error", accepted: "accepted", published: "published",
    journalled: "journalled", done: "done", returned: "returned", synced: "synced", quarantine: "quarantined",
    data_lead: "What is stored, as each service sees it. Read only unless you switch.", tables: "Tables", objects: "Objects", redis: "Redis", sql: "SQL", as_service: "As service", write: "Allow writing",
    run: "Run", rows: "rows", more: "More", denied: "PostgreSQL refuses", no_rows: "No rows.", no_objects: "No objects here.", prefix: "Begins with", pattern: "Pattern (*)", key: "Key", type: "Type",
    size: "Size", ttl: "Lives (s)", broker: "broker", cache: "cache", changed: "rows changed", pick_table: "Choose a table.",
    try_lead: "As the app's user sees it.", photo: "Photo", choose_photo: "Take or choose a photo", you_are: "You are", steps: "How to recycle", do_not: "Do not", confidence: "confidence",
    uploading: "uploading", checking: "checking", storing: "storing", classifying: "classifying", not_sure: "Not sure what this is", near: "Near you", show_near: "Show centers",
    latitude: "Latitude", longitude: "Longitude", no_centers: "No center within reach.", chat: "Ask", question: "Your question", send: "Send", ask_example: "How do I recycle a PET bottle?",
    pick_photo_first: "Choose a JPEG, PNG or WebP.", meters: "m", guide_missing: "The guide follows in a moment.",
  },
  ko: {
    title: "이코에코 · 시스템", skip: "본문으로", pages: "페이지", system: "시스템", functions: "함수", requests: "요청", tasks: "작업",
    data: "데이터", try: "써 보기", language: "English", theme_dark: "어둡게", theme_light: "밝게", loading: "불러오는 중…", failed: "잘되지 않았습니다",
    retry: "다시 시도", close: "닫기", system_lead: "이 컴퓨터에서 돌고 있는 모든 부분과 그 연결입니다. 하나를 골라 로그를 읽고, 다시 시작하거나 고장 내 보세요.",
    parts: "부분", ready: "준비됨", memory: "메모리", clock: "앞선 시간", restarts: "재시작", address: "주소", state: "상태", pid: "프로세스",
    version: "버전", restart: "다시 시작", kill: "강제 종료", pause: "멈춤", resume: "계속", log: "로그", faults: "장애", no_faults: "걸린 장애가 없습니다.",
    add_fault: "장애 시작", clear_faults: "모두 해제", kind: "종류", amount: "크기 (300ms±100, 50KB/s, 5%)", seconds: "지속(초)",
    from_part: "이 부분에서만 (선택)", target: "연결 대상", advance: "시계 옮기기", minutes: "분", troubles: "문제", map: "부분과 연결",
    functions_lead: "파일 하나에 트리거 하나. 함수를 골라 무엇을 받는지 읽고, 아무 사용자로나 불러 보세요.", filter: "거르기", call: "호출", as_user: "사용자 (처음이면 만듦, 비우면 비로그인)",
    body: "본문 (JSON)", parameters: "매개변수", answer: "응답", did: "한 일", nothing_did: "기록된 일이 없습니다.", role: "역할", file: "파일", trigger: "트리거",
    not_http: "주소가 없습니다. 큐, 일정 또는 명령이 부르면 스스로 돕니다.", pick_function: "왼쪽에서 함수를 고르세요.", bad_json: "본문이 JSON이 아닙니다",
    requests_lead: "들어오는 요청입니다. 하나를 고르면 시스템을 지나간 길을 봅니다.", no_requests: "아직 요청이 없습니다. 함수를 부르거나 써 보기를 해 보세요.", live: "실시간", route: "요청",
    status: "상태", time: "시간", service: "서비스", curl: "curl로 복사", again: "다시 실행", copied: "복사했습니다.", timeline: "지나간 길", pick_request: "요청을 고르세요.",
    tasks_lead: "받아들인 일의 길: 접수, 발행, 기록, 완료, 반환, 동기화.", no_tasks: "아직 작업이 없습니다. 써 보기에서 사진을 분석해 보세요.", task: "작업", way: "길",
    sync_now: "지금 동기화", retry_task: "재시도", release: "격리 해제", waiting: "아직 PostgreSQL에 없는 행", age: "가장 오래된 것의 나이(초)", error: "오류", accepted: "접수", published: "발행",
    journalled: "기록", done: "완료", returned: "반환", synced: "동기화", quarantine: "격리됨",
    data_lead: "저장된 것을 각 서비스의 눈으로 봅니다. 바꾸지 않는 한 읽기 전용입니다.", tables: "테이블", objects: "객체", redis: "Redis", sql: "SQL", as_service: "서비스로서", write: "쓰기 허용",
    run: "실행", rows: "행", more: "더 보기", denied: "PostgreSQL이 거절했습니다", no_rows: "행이 없습니다.", no_objects: "객체가 없습니다.", prefix: "시작하는 글자", pattern: "패턴 (*)", key: "키", type: "형",
    size: "크기", ttl: "수명(초)", broker: "브로커", cache: "캐시", changed: "행이 바뀜", pick_table: "테이블을 고르세요.",
    try_lead: "앱 사용자가 보는 모습입니다.", photo: "사진", choose_photo: "사진을 찍거나 고르세요", you_are: "나는", steps: "분리배출 방법", do_not: "하지 마세요", confidence: "확신",
    uploading: "올리는 중", checking: "확인 중", storing: "저장 중", classifying: "분류 중", not_sure: "무엇인지 확실하지 않습니다", near: "가까운 곳", show_near: "수거 장소 보기",
    latitude: "위도", longitude: "경도", no_centers: "가까운 장소가 없습니다.", chat: "물어보기", question: "질문", send: "보내기", ask_example: "페트병은 어떻게 버려요?",
    pick_photo_first: "JPEG, PNG, WebP를 고르세요.", meters: "m", guide_missing: "안내는 잠시 뒤에 채워집니다.",
  },
};
const TYPES = {
  paper: ["종이", "Paper"], paper_pack: ["종이팩", "Paper pack"], plastic: ["플라스틱", "Plastic"], pet_clear: ["투명 페트병", "Clear PET bottle"],
  vinyl: ["비닐", "Plastic film"], styrofoam: ["스티로폼", "Styrofoam"], glass: ["유리병", "Glass"], metal: ["캔·고철", "Metal"], clothing: ["의류", "Clothing"],
  battery: ["전지", "Battery"], lighting: ["조명", "Lighting"], electronics: ["전자제품", "Electronics"], food: ["음식물", "Food waste"], bulky: ["대형폐기물", "Bulky waste"],
  general: ["일반쓰레기", "General waste"], unknown: ["모름", "Unknown"],
};
let language = localStorage.getItem("eco2-language") || (navigator.language.startsWith("ko") ? "ko" : "en");
export const t = (key) => WORDS[language][key] ?? key;
export const kindOf = (type) => (TYPES[type] ?? [type, type])[language === "ko" ? 0 : 1];
export const current = () => language;
export function setLanguage(next) { language = next; localStorage.setItem("eco2-language", next); }
