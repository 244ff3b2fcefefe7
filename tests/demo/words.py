"""The vocabulary that the questions are made of: lists, tables and pairs."""

from __future__ import annotations

NOUNS: tuple[str, ...] = tuple(
    """apple banana bird boat book bottle bread bridge brush button camel candle castle cat chair
    cheese cherry clock cloud coat coffee cow cup dog door dragon drum duck eagle egg elephant
    engine farm feather fish flag flower forest fox frog garden gate ghost goat grape guitar hammer
    hat hill honey horse house ice island jacket jar jelly key king kite knife ladder lake lamp leaf
    lemon lion mango map market milk mirror monkey moon mountain mouse nest night nose oak ocean
    onion orange owl paint paper pear pencil piano pig pillow planet plum pocket potato queen rabbit
    radio rain ring river road robot rose salt sand ship shoe snow soap spoon star stone street sugar
    sun table tiger tower train tree turtle umbrella uncle valley vase violin wagon wall water whale
    wheel window winter wolf yard yarn zebra zoo""".split()
)

NAMES: tuple[str, ...] = tuple(
    """Adam Alice Anna Ben Carl Clara David Diana Emma Eric Eva Frank Grace Hugo Ida Ivan Jack Julia
    Karl Laura Leo Lily Lucas Maria Mark Mia Nina Noah Oscar Paul Peter Rosa Sam Sara Simon Sofia Tom
    Vera Victor Zoe""".split()
)

ZH_NOUNS: tuple[str, ...] = tuple(
    """苹果 香蕉 小鸟 小船 书 瓶子 面包 桥 椅子 猫 狗 门 鼓 鸭子 鸡蛋 大象 鱼 花 森林 狐狸 青蛙 花园 山羊 葡萄 吉他
    帽子 蜂蜜 马 房子 冰 钥匙 国王 风筝 湖 灯 叶子 柠檬 狮子 地图 牛奶 镜子 猴子 月亮 山 老鼠 洋葱 纸 铅笔 钢琴
    枕头 土豆 女王 兔子 雨 河 路 玫瑰 盐 雪 星星 石头 糖 太阳 桌子 老虎 火车 树 乌龟 雨伞 墙 水 窗户 狼""".split()
)

OPPOSITES: tuple[tuple[str, str], ...] = (
    ("hot", "cold"), ("big", "small"), ("up", "down"), ("left", "right"), ("day", "night"),
    ("good", "bad"), ("old", "new"), ("open", "closed"), ("fast", "slow"), ("high", "low"),
    ("happy", "sad"), ("light", "dark"), ("hard", "soft"), ("wet", "dry"), ("full", "empty"),
    ("early", "late"), ("long", "short"), ("rich", "poor"), ("strong", "weak"), ("thick", "thin"),
    ("wide", "narrow"), ("loud", "quiet"), ("clean", "dirty"), ("young", "aged"), ("near", "far"),
    ("first", "last"), ("true", "false"), ("love", "hate"), ("win", "lose"), ("buy", "sell"),
    ("push", "pull"), ("give", "take"), ("start", "stop"), ("begin", "end"), ("inside", "outside"),
    ("above", "below"), ("before", "after"), ("always", "never"), ("more", "less"), ("many", "few"),
    ("heavy", "weightless"), ("deep", "shallow"), ("sweet", "bitter"), ("brave", "afraid"),
    ("easy", "difficult"), ("cheap", "expensive"), ("safe", "dangerous"), ("smooth", "rough"),
    ("tight", "loose"), ("yes", "no"), ("north", "south"), ("east", "west"), ("male", "female"),
    ("friend", "enemy"), ("war", "peace"), ("life", "death"), ("summer", "winter"),
    ("remember", "forget"), ("arrive", "leave"), ("ask", "answer"),
)  # fmt: skip

ZH_OPPOSITES: tuple[tuple[str, str], ...] = (
    ("大", "小"), ("高", "低"), ("长", "短"), ("多", "少"), ("快", "慢"), ("冷", "热"), ("上", "下"),
    ("左", "右"), ("前", "后"), ("里", "外"), ("黑", "白"), ("好", "坏"), ("新", "旧"), ("早", "晚"),
    ("远", "近"), ("开", "关"), ("胖", "瘦"), ("轻", "重"), ("粗", "细"), ("深", "浅"), ("真", "假"),
    ("强", "弱"), ("买", "卖"), ("来", "去"), ("哭", "笑"), ("东", "西"), ("南", "北"), ("天", "地"),
    ("男", "女"), ("软", "硬"),
)  # fmt: skip

WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
ZH_WEEKDAYS = ("星期一", "星期二", "星期三", "星期四", "星期五", "星期六", "星期日")
MONTHS = (
    "January", "February", "March", "April", "May", "June", "July", "August", "September",
    "October", "November", "December",
)  # fmt: skip

CAPITALS: tuple[tuple[str, str], ...] = (
    ("France", "Paris"), ("Germany", "Berlin"), ("Italy", "Rome"), ("Spain", "Madrid"),
    ("Portugal", "Lisbon"), ("Ireland", "Dublin"), ("Austria", "Vienna"), ("Switzerland", "Bern"),
    ("Belgium", "Brussels"), ("Denmark", "Copenhagen"), ("Norway", "Oslo"), ("Sweden", "Stockholm"),
    ("Finland", "Helsinki"), ("Iceland", "Reykjavik"), ("Poland", "Warsaw"), ("Hungary", "Budapest"),
    ("Romania", "Bucharest"), ("Bulgaria", "Sofia"), ("Greece", "Athens"), ("Serbia", "Belgrade"),
    ("Croatia", "Zagreb"), ("Slovenia", "Ljubljana"), ("Slovakia", "Bratislava"),
    ("Ukraine", "Kyiv"), ("Russia", "Moscow"), ("Estonia", "Tallinn"), ("Latvia", "Riga"),
    ("Lithuania", "Vilnius"), ("Turkey", "Ankara"), ("Egypt", "Cairo"), ("Morocco", "Rabat"),
    ("Tunisia", "Tunis"), ("Algeria", "Algiers"), ("Libya", "Tripoli"), ("Kenya", "Nairobi"),
    ("Uganda", "Kampala"), ("Ethiopia", "Addis Ababa"), ("Ghana", "Accra"), ("Nigeria", "Abuja"),
    ("Senegal", "Dakar"), ("Angola", "Luanda"), ("Zambia", "Lusaka"), ("Zimbabwe", "Harare"),
    ("Namibia", "Windhoek"), ("Rwanda", "Kigali"), ("Somalia", "Mogadishu"), ("Sudan", "Khartoum"),
    ("China", "Beijing"), ("Japan", "Tokyo"), ("South Korea", "Seoul"), ("Mongolia", "Ulaanbaatar"),
    ("Vietnam", "Hanoi"), ("Thailand", "Bangkok"), ("Laos", "Vientiane"), ("Cambodia", "Phnom Penh"),
    ("Malaysia", "Kuala Lumpur"), ("Indonesia", "Jakarta"), ("the Philippines", "Manila"),
    ("India", "New Delhi"), ("Pakistan", "Islamabad"), ("Bangladesh", "Dhaka"), ("Nepal", "Kathmandu"),
    ("Afghanistan", "Kabul"), ("Iran", "Tehran"), ("Iraq", "Baghdad"), ("Syria", "Damascus"),
    ("Lebanon", "Beirut"), ("Jordan", "Amman"), ("Saudi Arabia", "Riyadh"), ("Qatar", "Doha"),
    ("Oman", "Muscat"), ("Australia", "Canberra"), ("New Zealand", "Wellington"), ("Canada", "Ottawa"),
    ("the United States", "Washington"), ("Mexico", "Mexico City"), ("Cuba", "Havana"),
    ("Jamaica", "Kingston"), ("Brazil", "Brasilia"), ("Argentina", "Buenos Aires"),
    ("Chile", "Santiago"), ("Peru", "Lima"), ("Ecuador", "Quito"), ("Colombia", "Bogota"),
    ("Venezuela", "Caracas"), ("Uruguay", "Montevideo"), ("Paraguay", "Asuncion"),
    ("the United Kingdom", "London"), ("the Netherlands", "Amsterdam"), ("Georgia", "Tbilisi"),
)  # fmt: skip

ZH_CAPITALS: tuple[tuple[str, str], ...] = (
    ("中国", "北京"), ("法国", "巴黎"), ("德国", "柏林"), ("意大利", "罗马"), ("西班牙", "马德里"),
    ("英国", "伦敦"), ("俄罗斯", "莫斯科"), ("日本", "东京"), ("韩国", "首尔"), ("泰国", "曼谷"),
    ("越南", "河内"), ("埃及", "开罗"), ("希腊", "雅典"), ("瑞典", "斯德哥尔摩"), ("挪威", "奥斯陆"),
    ("芬兰", "赫尔辛基"), ("丹麦", "哥本哈根"), ("波兰", "华沙"), ("奥地利", "维也纳"), ("加拿大", "渥太华"),
    ("美国", "华盛顿"), ("古巴", "哈瓦那"), ("秘鲁", "利马"), ("葡萄牙", "里斯本"), ("爱尔兰", "都柏林"),
)  # fmt: skip

SYLLABLES: tuple[str, ...] = tuple(
    """ba be bo da di do fa fe go ha hi jo ka ki ko la le lo lu ma me mi mo na ne no nu pa pe po ra re
    ri ro sa se so su ta te ti to va vi wa wo ya zo ban den fin gar hol jun kel lam mor nat pol ros
    sil tan ver win""".split()
)
